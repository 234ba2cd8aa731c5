"""The page as a whole: its sections, and what stands above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unstill.reduction.pipeline.outcome import Outcome
from unstill.report.page import Page, Section
from unstill.workflows.reduce_report.agreement import agreement_blocks
from unstill.workflows.reduce_report.backgrounds import background_blocks
from unstill.workflows.reduce_report.crystals import crystal_blocks
from unstill.workflows.reduce_report.frames import frame_blocks
from unstill.workflows.reduce_report.lead import lead_blocks
from unstill.workflows.reduce_report.maps import map_blocks
from unstill.workflows.reduce_report.outliers import outlier_blocks
from unstill.workflows.reduce_report.peaks import peak_blocks
from unstill.workflows.reduce_report.scales import scale_blocks


def reduce_page(
    found: Outcome,
    provenance: Mapping[str, Any],
    warnings: Sequence[str] = (),
    *,
    title: str = "",
    kind: str = "measured",
) -> Page:
    """Compose the report; sections of steps that were not done are left out.

    Parameters
    ----------
    found
        The reduction.
    provenance
        ``Provenance.as_dict()`` of the run.
    warnings
        What was warned of, with remedies.
    title
        Heading of the page.
    kind
        ``"measured"`` or ``"simulated"``.
    """
    names = [sweep.name for sweep in found.sweeps]
    subject = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    made = [
        ("Agreement by resolution", agreement_blocks(found)),
        ("The map", map_blocks(found)),
        ("Scales", scale_blocks(found)),
        ("Outliers", outlier_blocks(found)),
        ("Crystals", crystal_blocks(found)),
        ("Frames", frame_blocks(found)),
        ("Bragg peaks", peak_blocks(found)),
        ("Background", background_blocks(found)),
    ]
    return Page(
        title=title or _title(found),
        kind=kind,
        subject=subject,
        lead=lead_blocks(found),
        sections=[Section(name, blocks) for name, blocks in made if blocks],
        provenance=provenance,
        warnings=warnings,
    )


def _title(found: Outcome) -> str:
    if found.merged is None:
        return f"Reduction of {found.n_frames} frames, as far as it went"
    crystal = found.merged.crystal
    return f"Diffuse map in {crystal.space_group} from {found.n_frames} frames"
