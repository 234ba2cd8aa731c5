"""A view state for Mol*: the copies, coloured by state, in the format MolViewSpec.

Bittrich et al. (2024). *Current Protocols* 4, e1099;
https://doi.org/10.1002/cpz1.1099. Tree schema, version 1:
https://molstar.org/mol-view-spec-docs/tree-schema/.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from unstill.workflows.heterogeneity_report.alternatives import SHARED
from unstill.workflows.heterogeneity_report.view import Patch, SeenState, View
from unstill.workflows.heterogeneity_report.view_scripts import residue_runs

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can say: the same input gives the same bytes."""


def mol_view_spec(view: View, timestamp: str) -> dict[str, Any]:
    """Return the view state, to be written as JSON (``.mvsj``).

    The file with the copies is named relative to the view state: both are
    served from one folder, or travel in one archive (``mol_view_archive``).

    Parameters
    ----------
    view
        What to show.
    timestamp
        When it was made (ISO 8601).
    """
    structures = [
        _structure(number, states, only=len(view.copies) == 1)
        for number, states in enumerate(view.copies)
    ]
    parse = _node("parse", {"format": "mmcif"}, structures)
    download = _node("download", {"url": view.file}, [parse])
    canvas = _node("canvas", {"background_color": "#ffffff"})
    return {
        "metadata": {
            "version": "1",
            "timestamp": timestamp,
            "title": view.title,
            "description": "Whole copies of a multiconformer model, coloured by state.",
            "description_format": "plaintext",
        },
        "root": {"kind": "root", "children": [download, canvas]},
    }


def mol_view_archive(spec: dict[str, Any], copies: Path) -> bytes:
    """Return view state and copies in one archive (``.mvsx``), to be dropped on Mol*."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            ("index.mvsj", json.dumps(spec, separators=(",", ":")).encode()),
            (copies.name, copies.read_bytes()),
        ):
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return stream.getvalue()


def _structure(number: int, states: tuple[SeenState, ...], *, only: bool) -> dict[str, Any]:
    ribbon = _node(
        "representation",
        {"type": "cartoon"},
        [
            _node("color", {"color": SHARED}),
            *(
                _node("color", {"color": state.colour, "selector": selector})
                for state in states
                if (selector := _selector(_traces(state)))
            ),
        ],
    )
    children = [_node("component", {"selector": "polymer"}, [ribbon])]
    if number == 0 or only:
        for kind in ("ligand", "ion", "branched"):
            sticks = _node(
                "representation",
                {"type": "ball_and_stick"},
                [_node("color", {"color": SHARED})],
            )
            children.append(_node("component", {"selector": kind}, [sticks]))
    for state in states:
        whole = _selector([Patch(p.chain, p.residues) for p in state.patches])
        own = _selector(state.patches)
        sticks = _node(
            "representation",
            {"type": "ball_and_stick"},
            [
                _node("color", {"color": SHARED}),
                _node("color", {"color": state.colour, "selector": own}),
            ],
        )
        told = f"state {state.id}, occupancy {state.occupancy:.3f}"
        children.append(
            _node("component", {"selector": whole}, [sticks, _node("tooltip", {"text": told})])
        )
    return _node("structure", {"type": "model", "model_index": number}, children)


def _traces(state: SeenState) -> list[Patch]:
    return [Patch(p.chain, p.residues) for p in state.patches if p.has_trace]


def _selector(patches: list[Patch] | tuple[Patch, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for patch in patches:
        for first, last in residue_runs(patch.residues):
            chosen: dict[str, Any] = {"auth_asym_id": patch.chain}
            if first != last:
                chosen |= {"beg_auth_seq_id": first[0], "end_auth_seq_id": last[0]}
            else:
                chosen["auth_seq_id"] = first[0]
                if first[1]:
                    chosen["pdbx_PDB_ins_code"] = first[1]
            if patch.atoms:
                found += [{**chosen, "label_atom_id": atom} for atom in patch.atoms]
            else:
                found.append(chosen)
    return found


def _node(
    kind: str, params: dict[str, Any], children: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": kind, "params": params}
    if children:
        found["children"] = children
    return found
