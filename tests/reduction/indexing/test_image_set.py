"""How the experiments of ``unstill index`` name their images."""

from __future__ import annotations

import pytest

from unstill.reduction.indexing.image_set import image_set_of

MASTER = ["/d/a_master.h5", "/d/a_data_000001.h5", "/d/a_data_000002.h5"]


@pytest.mark.parametrize(
    ("files", "n_frames", "template", "first"),
    [
        (["/d/r_007.cbf", "/d/r_008.cbf"], 2, "r_###.cbf", 7),
        (["/d/r_007.cbf", "/d/r_009.cbf"], 3, "r_###.cbf", 7),
        (["/d/r_9.cbf.gz", "/d/r_10.cbf.gz"], 2, "r_#.cbf.gz", 9),
        (MASTER, 200, "a_master.h5", 1),
    ],
)
def test_one_name_stands_for_all_frames(
    files: list[str], n_frames: int, template: str, first: int
) -> None:
    images, number = image_set_of(files, n_frames)
    assert (images.template, images.paths, images.folder, number) == (template, (), "/d", first)


@pytest.mark.parametrize(
    ("files", "n_frames", "kept"),
    [
        (["/d/r_7.cbf", "/d/r_9.cbf"], 2, [0, 1]),
        (["/e/r_1.cbf", "/d/r_2.cbf"], 2, [0, 1]),
        (["/d/r_1.cbf"], 1, [0]),
        (MASTER[1:], 200, [0, 1]),
        ([*MASTER, "/d/b_master.h5", "/d/b_data_000001.h5"], 300, [0, 3]),
    ],
)
def test_other_files_are_named_one_by_one(
    files: list[str], n_frames: int, kept: list[int]
) -> None:
    images, number = image_set_of(files, n_frames)
    assert (images.template, number) == ("", 1)
    assert images.paths == tuple(files[i] for i in kept)
