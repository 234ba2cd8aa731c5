"""Everything that can be set in a reduction, by step, with defaults that work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from unstill.errors import InputError
from unstill.reduction.scaling.options import ScaleOptions


def _is(default: Any, meaning: str, unit: str = "") -> Any:
    return field(default=default, metadata={"meaning": meaning, "unit": unit})


_SCALE = ScaleOptions()
"""Whose defaults are those of a reduction, except for the surfaces that are fitted."""


@dataclass(frozen=True)
class FramesParameters:
    """Which frames of which sweeps, and whom to believe about their angles."""

    scan: Literal["header", "expt"] = _is(
        "header",
        "whom to believe where the image headers contradict the scan of the experiment",
    )
    images: tuple[str, ...] = _is(
        (), "images in place of those that the experiments name: patterns or files"
    )
    space_group: str | None = _is(None, "in place of that of the experiments")
    d_min: float | None = _is(None, "high-resolution limit; the corner of the detector", "Å")
    d_max: float | None = _is(None, "low-resolution limit; the beam stop", "Å")
    beamstop_radius: float = _is(
        0.0, "pixels nearer to the direct beam on the detector are not used", "mm"
    )


@dataclass(frozen=True)
class CheckParameters:
    """How frames are looked at before they are integrated."""

    max_frames: int = _is(
        16, "frames of a sweep that are looked at, evenly spread; those of the peaks, to read once"
    )


@dataclass(frozen=True)
class PeaksParameters:
    """How Bragg peaks are found and kept out of the map."""

    cutoff: float = _is(
        3.0, "half axes of the ellipsoid that is masked about a Bragg position", "sigma"
    )
    max_frames: int = _is(
        16,
        "frames of a sweep that the shape is fitted to, evenly spread; stills: three times so"
        " many together",
    )


@dataclass(frozen=True)
class BackgroundParameters:
    """How sweeps without a crystal become a smooth background."""

    bin_pixels: int = _is(20, "size of the bins on the detector", "pixels")
    bin_phi: float = _is(10.0, "size of the bins along the rotation", "degrees")
    check: bool = _is(True, "compare exposure, distance, energy and transmission with the data")


@dataclass(frozen=True)
class IntegrateParameters:
    """How pixels are summed into voxels."""

    divisions: tuple[int, int, int] = _is((4, 4, 4), "voxels a reciprocal-lattice vector: h, k, l")
    fine: tuple[int, int, int] | None = _is(
        None, "voxels of a second, fine map from the same pass over the images"
    )
    max_spread: float = _is(1.0, "largest rotation that one observation spans", "degrees")
    headroom: float = _is(
        50.0, "a pixel may have so many times the rate of its surroundings; above, it is left out"
    )
    air: bool = _is(True, "correct for absorption in the air before the detector")
    efficiency: bool = _is(True, "correct for what the sensor does not absorb")
    polarization: bool = _is(True, "correct for the polarisation of the beam")


@dataclass(frozen=True)
class CrystalsParameters:
    """Which of several crystals belong together, and how each is indexed."""

    ambiguity: bool = _is(True, "bring crystals to one indexing where the lattice allows several")
    select: bool = _is(True, "drop crystals whose cell or intensities do not fit the others")
    max_cell_difference: float = _is(
        0.01, "largest relative difference of a cell axis, or of an angle in radians"
    )
    min_likeness: float = _is(
        0.8, "smallest correlation with the other crystals, freed from noise"
    )


@dataclass(frozen=True)
class ScaleParameters:
    """What is fitted so that observations of one intensity agree.

    b alone by default: with few frames the others also fit what is the map's own,
    its fall with resolution first of all.
    """

    scale: Literal["on", "off", "auto"] = _is(
        "on", "b, scale against the rotation angle; off leaves it at 1"
    )
    absorption: Literal["on", "off", "auto"] = _is(
        "off", "a, absorption by the sample against position and angle; auto tries it"
    )
    offset: Literal["on", "off", "auto"] = _is(
        "off", "c, scattering that is not the crystal's, against 1/d and angle; auto tries it"
    )
    detector: Literal["on", "off", "auto"] = _is(
        "off", "d, response of the detector against position; auto tries it"
    )
    b_phi: float = _is(_SCALE.b_phi, "distance of the knots of b", "degrees")
    b_alpha: float = _is(_SCALE.b_alpha, "smoothness of b")
    a_xy: int = _is(_SCALE.a_xy, "knots of a along each side of the detector")
    a_phi: float = _is(_SCALE.a_phi, "distance of the knots of a along the rotation", "degrees")
    a_alpha_xy: float = _is(_SCALE.a_alpha_xy, "smoothness of a on the detector")
    a_alpha_phi: float = _is(_SCALE.a_alpha_phi, "smoothness of a along the rotation")
    c_s: int = _is(_SCALE.c_s, "knots of c in 1/d")
    c_phi: float = _is(_SCALE.c_phi, "distance of the knots of c along the rotation", "degrees")
    c_alpha_s: float = _is(_SCALE.c_alpha_s, "smoothness of c in 1/d")
    c_alpha_phi: float = _is(_SCALE.c_alpha_phi, "smoothness of c along the rotation")
    c_ridge: float = _is(_SCALE.c_ridge, "how strongly c is held at 0")
    d_xy: int = _is(_SCALE.d_xy, "knots of d along each side of the detector")
    d_alpha: float = _is(_SCALE.d_alpha, "smoothness of d")
    min_rows: int = _is(_SCALE.min_rows, "observations that a knot needs")
    precision: float = _is(_SCALE.precision, "relative standard error that a knot may have")
    outlier_sigma: float = _is(
        6.0, "observations farther from their mates are left out, both ways; 0 keeps all", "sigma"
    )
    reject_bad_ranges: bool = _is(
        _SCALE.reject_bad_ranges, "leave out bad ranges of frames; they are named anyway"
    )
    max_rows: int = _is(_SCALE.max_rows, "observations that the surfaces are fitted to, about")
    max_rounds: int = _is(_SCALE.max_rounds, "rounds of fit, error model and outliers")
    tolerance: float = _is(_SCALE.tolerance, "relative change of the scales that ends the rounds")


@dataclass(frozen=True)
class MergeParameters:
    """How observations become a map."""

    symmetry: bool = _is(True, "average over the Laue group; false keeps P 1, Friedel mates apart")
    shells: int = _is(20, "resolution shells of the statistics")


@dataclass(frozen=True)
class MapParameters:
    """What is written."""

    formats: tuple[str, ...] = _is((".nxs", ".mtz", ".ccp4"), "of the map; the first is the map")
    absolute: bool = _is(False, "bring the map to electrons squared a unit cell (Krogh-Moe)")
    compton: bool = _is(
        False, "subtract inelastic scattering; brings the map to the absolute scale too"
    )
    contents: str = _is("", "PDB or mmCIF file of the asymmetric unit, for the absolute scale")


@dataclass(frozen=True)
class ReduceParameters:
    """All parameters of a reduction.

    Examples
    --------
    >>> given = ReduceParameters.from_dict({"integrate": {"divisions": [2, 2, 2]}})
    >>> given.integrate.divisions, given.scale.scale
    ((2, 2, 2), 'on')
    """

    frames: FramesParameters = field(default_factory=FramesParameters)
    check: CheckParameters = field(default_factory=CheckParameters)
    peaks: PeaksParameters = field(default_factory=PeaksParameters)
    background: BackgroundParameters = field(default_factory=BackgroundParameters)
    integrate: IntegrateParameters = field(default_factory=IntegrateParameters)
    crystals: CrystalsParameters = field(default_factory=CrystalsParameters)
    scale: ScaleParameters = field(default_factory=ScaleParameters)
    merge: MergeParameters = field(default_factory=MergeParameters)
    map: MapParameters = field(default_factory=MapParameters)
    seed: int = _is(0, "of the random halves")

    @classmethod
    def from_dict(cls, given: Mapping[str, Any], *, source: str = "") -> ReduceParameters:
        """Make parameters from nested mappings; what is not given keeps its default.

        Raises
        ------
        InputError
            If a key is unknown or a value of the wrong kind.
        """
        return cls().updated(given, source=source)

    def updated(self, given: Mapping[str, Any], *, source: str = "") -> ReduceParameters:
        """Return parameters with some changed, from nested mappings.

        Raises
        ------
        InputError
            If a key is unknown or a value of the wrong kind.
        """
        groups = {item.name: getattr(self, item.name) for item in fields(self)}
        _check_names(given, groups, "a group or parameter", source)
        changes: dict[str, Any] = {}
        for name, values in given.items():
            if name == "seed":
                changes[name] = converted(values, _hint(self, name), name, source)
                continue
            group = groups[name]
            if not isinstance(values, Mapping):
                raise _wrong(name, values, "a table of parameters", source)
            known = {item.name for item in fields(group)}
            _check_names(values, known, f"a parameter of [{name}]", source)
            changes[name] = replace(
                group,
                **{
                    key: converted(value, _hint(group, key), f"{name}.{key}", source)
                    for key, value in values.items()
                },
            )
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Nested dictionaries of all parameters."""
        return asdict(self)


def _hint(group: Any, name: str) -> str:
    return str(next(item.type for item in fields(group) if item.name == name))


def _check_names(given: Any, known: Any, what: str, source: str) -> None:
    from difflib import get_close_matches

    for name in given:
        if name not in known:
            near = get_close_matches(name, list(known), n=1, cutoff=0.4)
            fix = f"did you mean {near[0]}? " if near else ""
            raise InputError(
                f"{name!r} is not {what}",
                found=source or name,
                fix=f"{fix}there are: {', '.join(known)}",
            )


def _wrong(name: str, value: Any, wanted: str, source: str) -> InputError:
    return InputError(
        f"{name} has the wrong kind of value",
        found=f"{value!r}{f' in {source}' if source else ''}",
        fix=f"give {wanted}",
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_KINDS: dict[str, tuple[Any, Any, str]] = {
    "bool": (lambda v: isinstance(v, bool), bool, "true or false"),
    "int": (_integer, int, "a whole number"),
    "float": (_number, float, "a number"),
    "str": (lambda v: isinstance(v, str), str, "a text"),
    "tuple[str, ...]": (
        lambda v: isinstance(v, (list, tuple)) and all(isinstance(i, str) for i in v),
        tuple,
        "a list of texts",
    ),
    "tuple[int, int, int]": (
        lambda v: (
            isinstance(v, (list, tuple)) and len(v) == 3 and all(_integer(i) and i > 0 for i in v)
        ),
        tuple,
        "three positive whole numbers",
    ),
}


def converted(value: Any, hint: str, name: str, source: str = "") -> Any:
    """Return a value as its annotation wants it.

    Raises
    ------
    InputError
        If it cannot be.
    """
    if hint.endswith(" | None"):
        if value is None:
            return None
        hint = hint.removesuffix(" | None")
    if hint.startswith("Literal["):
        choices = [item.strip(" '\"") for item in hint[8:-1].split(",")]
        if value not in choices:
            raise _wrong(name, value, f"one of {', '.join(choices)}", source)
        return value
    fits, kind, wanted = _KINDS[hint]
    if not fits(value):
        raise _wrong(name, value, wanted, source)
    return kind(value)
