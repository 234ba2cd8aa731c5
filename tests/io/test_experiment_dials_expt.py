"""DIALS experiment lists: every dialect, every kind of damage, and back again."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from unstill.crystal import Crystal
from unstill.errors import FormatError, InputError, UnstillError, UnstillWarning
from unstill.experiment import (
    Beam,
    Detector,
    Experiment,
    Goniometer,
    ImageSet,
    Lattice,
    Panel,
    Scan,
)
from unstill.io.dials_expt import read_expt, write_expt
from unstill.io.experiment_files import read_experiments
from unstill.io.experiment_json import write_experiment_json
from unstill.provenance import Provenance

CELL = (48.4, 48.4, 63.3, 90.0, 90.0, 90.0)


def small_sweep(n_frames: int = 4, *, drifts: bool = True) -> Experiment:
    rng = np.random.default_rng(3)
    crystal = Crystal(CELL, "P 41")
    turns = Rotation.from_rotvec(np.linspace(0, 0.01, n_frames + 1)[:, None] * [1, 2, 3])
    constant = Lattice.oriented(crystal, Rotation.random(rng=rng).as_matrix(), mosaicity=0.07)
    points = turns.as_matrix() @ constant.a_matrix
    axis, other = Rotation.random(2, rng=rng).as_matrix()
    panel = Panel(
        (-10.1, 12.3, -99.9),
        tuple(axis[0]),
        tuple(axis[1]),
        (0.172, 0.1721),
        (64, 48),
        thickness=0.32,
        mu=3.9,
        material="Si",
        parallax=True,
        trusted_range=(0.0, 1000.0),
        masked=((1, 2, 3, 4), (5, 6, 7, 8)),
        gain=1.3,
        pedestal=7.0,
        offset=(64, 0),
        name="left",
    )
    return Experiment(
        Beam(0.97, (0.01, 0.002, 1.0), (0.0, 1.0, 0.1), 0.98, 0.3),
        Detector((panel, replace(panel, offset=(0, 0), name="right", masked=()))),
        Goniometer(tuple(other[0]), axis, other),
        Scan(n_frames, 12.3, 0.1, None, np.linspace(0.1, 0.2, n_frames), 7),
        Lattice(crystal, constant.a_matrix, points if drifts else None, 0.07),
        ImageSet("img/a_####.cbf", mask="m.mask", gain="g.h5", pedestal="p.h5"),
        name="a_#### 7-10",
        identifier="0812526a-eca7-467f-b271-26cb05ff56f4",
    )


def assert_same(a: Experiment, b: Experiment) -> None:
    """Every number of both is the same, bit for bit."""
    assert a.beam == b.beam
    assert a.detector == b.detector
    assert (a.name, a.identifier) == (b.name, b.identifier)
    for part in ("goniometer", "scan", "lattice"):
        one, other = getattr(a, part), getattr(b, part)
        assert (one is None) == (other is None)
        for key, value in vars(one).items() if one is not None else ():
            if not key.startswith("_"):
                np.testing.assert_array_equal(value, getattr(other, key), err_msg=key)
    for key, value in vars(a.images).items():
        if key != "folder":
            assert value == getattr(b.images, key)


@pytest.mark.parametrize("suffix", [".expt", ".json"])
@pytest.mark.parametrize("drifts", [True, False])
def test_what_is_written_is_read_bit_for_bit(tmp_path: Path, suffix: str, drifts: bool) -> None:
    written = small_sweep(drifts=drifts)
    written = written.replace(images=replace(written.images, folder=str(tmp_path)))
    path = tmp_path / f"a{suffix}"
    write = write_expt if suffix == ".expt" else write_experiment_json
    write(path, [written], provenance=Provenance("unstill test"))
    (read,) = read_experiments(path)
    assert_same(written, read)
    assert json.loads(path.read_text())["provenance"]["command"] == "unstill test"


@pytest.mark.parametrize("suffix", [".expt", ".json"])
def test_stills_at_steps_keep_their_width(tmp_path: Path, suffix: str) -> None:
    one = small_sweep(drifts=False)
    assert one.scan is not None
    scan = replace(one.scan, phi_width=0.0, free_origin=True)
    path = tmp_path / f"a{suffix}"
    if suffix == ".expt":
        with pytest.warns(UnstillWarning, match="cannot say"):
            write_expt(path, [one.replace(scan=scan)])
    else:
        write_experiment_json(path, [one.replace(scan=scan)])
    (read,) = read_experiments(path)
    assert read.scan is not None
    assert (read.scan.phi_width, read.scan.phi_step, read.scan.free_origin) == (0.0, 0.1, True)


@pytest.mark.parametrize("suffix", [".expt", ".json"])
def test_models_that_experiments_share_stay_shared(tmp_path: Path, suffix: str) -> None:
    one = small_sweep()
    two = one.replace(scan=replace(one.scan, first_image=11), identifier="other")
    still = Experiment(one.beam, one.detector, images=ImageSet(paths=("a.h5",), indices=(3,)))
    path = tmp_path / f"a{suffix}"
    (write_expt if suffix == ".expt" else write_experiment_json)(path, [one, two, still])
    a, b, c = read_experiments(path)
    assert a.detector is b.detector is c.detector
    assert a.lattice is b.lattice
    assert a.scan is not b.scan
    assert c.is_still
    assert c.lattice is None
    assert c.images.indices == (3,)


def test_relative_images_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = tmp_path / "one" / "a.expt", tmp_path / "two" / "b.expt"
    one = small_sweep()
    write_expt(first, [one.replace(images=ImageSet("img/a_###.cbf", folder=str(first.parent)))])
    write_expt(second, read_expt(first))
    (moved,) = read_expt(second)
    assert moved.images.template == "../one/img/a_###.cbf"
    assert moved.images.folder == str(second.parent)


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    """An experiment list as DIALS writes it: without the keys of unstill."""
    path = tmp_path / "plain.expt"
    write_expt(path, [small_sweep()])
    found: dict[str, Any] = json.loads(path.read_text())
    for crystal in found["crystal"]:
        del crystal["a_matrix"], crystal["unit_cell"]
    return found


def read(tmp_path: Path, document: dict[str, Any], **options: Any) -> list[Experiment]:
    path = tmp_path / "changed.expt"
    path.write_text(json.dumps(document))
    return read_experiments(path, **options)


def test_unknown_and_missing_optional_keys_do_not_matter(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    (before,) = read(tmp_path, document)
    document["history"] = ["dials.import"]
    document["beam"][0]["probe"] = "x-ray"
    document["experiment"][0]["news"] = {"a": 1}
    del document["detector"][0]["hierarchy"], document["profile"], document["scaling_model"]
    for key in ("gain", "pedestal", "dx", "dy", "params"):
        del document["imageset"][0][key]
    document["imageset"][0]["mask"] = None
    (after,) = read(tmp_path, document)
    assert after.detector == before.detector
    assert after.images.mask == ""
    np.testing.assert_array_equal(after.setting(1.5), before.setting(1.5))


def test_old_keys_say_the_same(tmp_path: Path, document: dict[str, Any]) -> None:
    (before,) = read(tmp_path, document)
    old = copy.deepcopy(document)
    old["imageset"][0]["__id__"] = "ImageSweep"
    for panel in old["detector"][0]["panels"]:
        panel["px_mm_strategy"] |= {"mu": panel.pop("mu"), "t0": panel.pop("thickness")}
        panel["trusted_range"] = [-1, 1000]
        del panel["gain"], panel["pedestal"]
    # The models named in the image set only, as in the lists of 2016.
    for kind in ("beam", "detector", "goniometer", "scan"):
        old["imageset"][0][kind] = old["experiment"][0].pop(kind)
    (after,) = read(tmp_path, old)
    assert after.detector.panels[0].mu == 3.9
    assert after.detector.panels[0].thickness == 0.32
    assert after.detector.panels[0].trusted_range == (0.0, 1000.0)
    assert after.scan is not None
    assert before.scan is not None
    assert after.scan.phi_start == before.scan.phi_start


def test_scans_with_properties_are_those_without(tmp_path: Path, document: dict[str, Any]) -> None:
    (before,) = read(tmp_path, document)
    scan = document["scan"][0]
    start, width = scan.pop("oscillation")
    scan["properties"] = {
        "oscillation": [start + i * width for i in range(4)],
        "exposure_time": scan.pop("exposure_time"),
        "epochs": scan.pop("epochs"),
    }
    (after,) = read(tmp_path, document)
    assert after.scan is not None
    assert before.scan is not None
    assert after.scan.phi_step == pytest.approx(before.scan.phi_step)
    np.testing.assert_array_equal(after.scan.exposure_times, before.scan.exposure_times)
    scan["properties"]["oscillation"][2] += 0.05
    with pytest.raises(FormatError, match="unequal steps"):
        read(tmp_path, document)


def test_one_image_has_its_width_beside(tmp_path: Path, document: dict[str, Any]) -> None:
    document["scan"][0] = {
        "image_range": [5, 5],
        "properties": {"oscillation": [3.0], "oscillation_width": [0.5], "exposure_time": [1.0]},
    }
    del document["crystal"][0]["A_at_scan_points"]
    (one,) = read(tmp_path, document)
    assert one.scan is not None
    assert (one.scan.phi_start, one.scan.phi_step, one.scan.first_image) == (3.0, 0.5, 5)


def test_groups_of_panels_are_composed(tmp_path: Path, document: dict[str, Any]) -> None:
    """A panel in a turned group in a shifted group, against matrices by hand."""
    turn = Rotation.from_euler("zyx", [30, -20, 10], degrees=True).as_matrix()
    inner = {
        "fast_axis": turn[:, 0].tolist(),
        "slow_axis": turn[:, 1].tolist(),
        "origin": [1.0, 2.0, 3.0],
        "children": [{"panel": 1}],
    }
    document["detector"][0]["hierarchy"] = {
        "fast_axis": [0.0, 1.0, 0.0],
        "slow_axis": [-1.0, 0.0, 0.0],
        "origin": [10.0, 20.0, -30.0],
        "children": [inner, {"panel": 0}],
    }
    outer = np.column_stack([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    local = [np.array(panel["origin"]) for panel in document["detector"][0]["panels"]]
    (found,) = read(tmp_path, document)
    first, second = found.detector.panels
    np.testing.assert_allclose(first.origin, outer @ local[0] + [10, 20, -30], atol=1e-12)
    np.testing.assert_allclose(
        second.origin, outer @ (turn @ local[1] + [1, 2, 3]) + [10, 20, -30], atol=1e-12
    )
    fast = document["detector"][0]["panels"][1]["fast_axis"]
    np.testing.assert_allclose(second.fast_axis, outer @ turn @ fast, atol=1e-12)


@pytest.mark.parametrize("scan_axis", [0, 1, 2])
def test_several_axes_turn_one_after_the_other(
    tmp_path: Path, document: dict[str, Any], scan_axis: int
) -> None:
    """Axes go from the crystal outwards: the whole rotation is that of scipy."""
    axes = [[1.0, 0.2, 0.0], [0.0, 1.0, 0.3], [0.6, 0.0, 0.8]]
    angles = [20.0, -50.0, 70.0]
    document["goniometer"] = [
        {
            "axes": axes,
            "angles": angles,
            "names": ["PHI", "KAPPA", "OMEGA"],
            "scan_axis": scan_axis,
        }
    ]
    (found,) = read(tmp_path, document)
    assert found.goniometer is not None
    for phi in (0.0, 33.0):
        angles[scan_axis] = phi
        whole = Rotation.identity()
        for axis, angle in zip(axes, angles, strict=True):
            whole = Rotation.from_rotvec(np.radians(angle) * _unit(axis)) * whole
        np.testing.assert_allclose(found.goniometer.rotation(phi), whole.as_matrix(), atol=1e-12)


def _unit(axis: list[float]) -> np.ndarray:
    unit: np.ndarray = np.array(axis) / np.linalg.norm(axis)
    return unit


def test_a_goniometer_that_drifts_is_put_into_the_lattice(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    turns = Rotation.from_rotvec(np.linspace(0, 0.02, 5)[:, None] * [0.3, -1, 2]).as_matrix()
    setting = np.array(document["goniometer"][0]["setting_rotation"]).reshape(3, 3)
    (before,) = read(tmp_path, document)
    document["goniometer"][0]["setting_rotation_at_scan_points"] = [
        (turn @ setting).ravel().tolist() for turn in turns
    ]
    (after,) = read(tmp_path, document)
    for i in range(5):
        np.testing.assert_allclose(
            after.setting(float(i)), turns[i] @ before.setting(float(i)), atol=1e-12
        )


def test_a_beam_that_drifts_is_told_of(tmp_path: Path, document: dict[str, Any]) -> None:
    document["beam"][0]["s0_at_scan_points"] = [[1e-3 * i, 0.0, -1.03] for i in range(5)]
    with pytest.warns(UnstillWarning, match="beam drifts"):
        read(tmp_path, document)


def test_crystals_that_are_not_there_are_not_indexed(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    del document["experiment"][0]["crystal"]
    document["experiment"].append(document["experiment"][0] | {"crystal": None})
    one, two = read(tmp_path, document)
    assert one.lattice is None
    assert two.lattice is None
    with pytest.raises(InputError, match="has no crystal"):
        one.setting(0.0)


def test_the_space_group_can_be_replaced_where_the_cell_allows(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    (found,) = read(tmp_path, document, space_group="P 43 21 2")
    assert found.crystal.space_group == "P 43 21 2"
    with pytest.raises(InputError, match="does not have the symmetry"):
        read(tmp_path, document, space_group="P 61")
    # A Hall symbol of a setting that stands in no table, unless the group is named.
    document["crystal"][0]["space_group_hall_symbol"] = " P 2 2 (x+1/8,y,z)"
    with pytest.raises(FormatError, match="in no table"):
        read(tmp_path, document)
    (found,) = read(tmp_path, document, space_group="P 41")
    assert found.crystal.space_group == "P 41"


def set_in(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for key in keys[:-1]:
            at = at[key]
        if to is KeyError:
            del at[keys[-1]]
        else:
            at[keys[-1]] = to

    return change


DAMAGE = {
    "beam[0].wavelength": set_in("beam", 0, "wavelength", to="0.97"),
    "beam[0].direction[1]": set_in("beam", 0, "direction", to=[0, None, 1]),
    "beam[0]: wavelength is impossible": set_in("beam", 0, "wavelength", to=-1.0),
    "beam[0]: many wavelengths": set_in(
        "beam", to=[{"__id__": "polychromatic", "wavelength_range": [1.0, 2.0]}]
    ),
    "experiment[0].detector": set_in("experiment", 0, "detector", to=3),
    "experiment[0].crystal": set_in("experiment", 0, "crystal", to=-1),
    "experiment[0].scan": set_in("experiment", 0, "scan", to=0.5),
    "experiment[0]: no beam": set_in("experiment", 0, "beam", to=None),
    "experiment": set_in("experiment", to={}),
    "detector[0].panels[1].pixel_size": set_in(
        "detector", 0, "panels", 1, "pixel_size", to=[0.1, 0.1, 0.1]
    ),
    "detector[0].panels[0]: 'origin' is missing": set_in(
        "detector", 0, "panels", 0, "origin", to=KeyError
    ),
    "detector[0].panels[0].image_size[0]": set_in(
        "detector", 0, "panels", 0, "image_size", to=[1.5, 3]
    ),
    "detector[0].hierarchy.children[0].panel": set_in(
        "detector", 0, "hierarchy", "children", to=[{"panel": 7}]
    ),
    "goniometer[0].fixed_rotation": set_in("goniometer", 0, "fixed_rotation", to=[1, 0, 0]),
    "goniometer[0]": set_in("goniometer", 0, "fixed_rotation", to=[2.0] * 9),
    "scan[0].oscillation": set_in("scan", 0, "oscillation", to="0 to 10"),
    "scan[0].exposure_time": set_in("scan", 0, "exposure_time", to=[0.1, 0.1]),
    "scan[0]": set_in("scan", 0, "image_range", to=[5, 1]),
    "crystal[0].A_at_scan_points[1]": set_in("crystal", 0, "A_at_scan_points", 1, to=[1.0]),
    "crystal[0]: span no volume": set_in("crystal", 0, "real_space_a", to=[0, 0, 0]),
    "crystal[0].space_group_hall_symbol": set_in(
        "crystal", 0, "space_group_hall_symbol", to="Q 4 4 4"
    ),
    "detector[0].panels[0].gain": set_in("detector", 0, "panels", 0, "gain", to=10**400),
    "crystal[0].real_space_b[2]": set_in("crystal", 0, "real_space_b", to=[1, 2, float("nan")]),
    "imageset[0].template": set_in("imageset", 0, "template", to=["a", "b"]),
}


@pytest.mark.parametrize("place", DAMAGE)
def test_damage_is_named_by_its_place(
    tmp_path: Path, document: dict[str, Any], place: str
) -> None:
    DAMAGE[place](document)
    with pytest.raises(FormatError) as caught:
        read(tmp_path, document)
    for part in place.split(": "):
        assert part in str(caught.value)


def test_scan_points_of_another_scan_are_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    document["crystal"][0]["A_at_scan_points"].pop()
    with pytest.raises(FormatError, match=r"4 matrices for 4 frames.*experiment\[0\]"):
        read(tmp_path, document)


def test_cut_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "a.expt"
    write_expt(whole, [small_sweep()])
    text = whole.read_text()
    for content, match in (
        (text[: len(text) // 2], "cannot be read as JSON"),
        ("[]", "no experiments"),
        ('[{"__id__": "DataBlock"}]', "data block"),
        ('{"__id__": "ExperimentList", "experiment": []}', "list is empty"),
        ('{"format": "unstill experiments", "version": 99}', "later version"),
        ("", "is empty"),
        ("hello", "no geometry file"),
    ):
        path = tmp_path / "b.expt"
        path.write_text(content)
        with pytest.raises(FormatError, match=match):
            read_experiments(path)


def test_an_unknown_sensor_absorbs_evenly(tmp_path: Path, document: dict[str, Any]) -> None:
    panel = document["detector"][0]["panels"][0]
    panel |= {"mu": 0.0, "material": "Gd2O2S"}
    with pytest.warns(UnstillWarning, match="Gd2O2S"):
        (found,) = read(tmp_path, document)
    assert found.detector.panels[0].mu == 0
    panel["material"] = "Si"
    (found,) = read(tmp_path, document)
    assert found.detector.panels[0].mu == pytest.approx(3.85, rel=0.01)


JUNK = (None, "x", -1, [], {}, float("inf"), True, 1e300, 0, [[1]], KeyError)


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [place] if place else []
    if isinstance(value, (dict, list)):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in inside:
            found += places(one, (*place, key))
    return found


@pytest.mark.parametrize("suffix", [".expt", ".json"])
def test_junk_anywhere_is_read_or_refused_and_never_a_traceback(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    (write_expt if suffix == ".expt" else write_experiment_json)(path, [small_sweep(2)])
    document = json.loads(path.read_text())
    remedies = []
    # Each place with one kind of junk or two, each kind many times.
    for i, place in enumerate(places(document)):
        for junk in (JUNK[i % len(JUNK)], JUNK[(3 * i + 5) % len(JUNK)]):
            damaged = copy.deepcopy(document)
            set_in(*place, to=junk)(damaged)
            path.write_text(json.dumps(damaged))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnstillWarning)
                try:
                    read_experiments(path)
                except UnstillError as error:
                    remedies.append(error.fix)
    assert len(remedies) > 200
    assert all(remedies)
