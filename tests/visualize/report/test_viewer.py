# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from monai_dino.errors import InputError
from monai_dino.visualize.report import PictureBudget, Volume, slice_viewer


def volume(depth: int = 12) -> Volume:
    mask = np.zeros((10, 8, depth), int)
    mask[3:6, 2:7, depth // 2] = 1
    return Volume(
        "<case>", np.random.default_rng(0).random((10, 8, depth)), (2.0, 1.0), {"truth": mask, "prediction": mask * 0}
    )


def test_outlines_lie_about_the_voxels() -> None:
    made = slice_viewer(volume(), PictureBudget(), ("background", "ball"))
    path = re.findall(r'<path d="([^"]*)" class="c0"', made)
    assert len(path) == 1  # in one slice, of one mask
    points = np.array([[float(v) for v in p.split()] for p in re.split("[ML]", path[0]) if p.strip()])
    # Columns 2 to 6 and rows 3 to 5, which are twice as high.
    assert points.min(axis=0).tolist() == [2.0, 6.0]
    assert points.max(axis=0).tolist() == [7.0, 12.0]
    assert 'viewBox="0 0 8.00 20.00"' in made
    assert "slice 7 of 12" in re.findall(r"<output>(.*?)</output>", made)[0]
    assert "<case>" not in made


def test_slices_are_bounded_and_one_is_shown() -> None:
    made = slice_viewer(volume(90), PictureBudget(), slices=5)
    groups = re.findall(r'<g class="slice"( hidden)?', made)
    assert len(groups) <= 5
    assert groups.count("") == 1
    empty = Volume("x", np.zeros((4, 4, 30)))
    made = slice_viewer(empty, PictureBudget(), slices=5)
    assert [int(v) for v in re.findall(r'data-label="slice (\d+) of 30"', made)] == [3, 9, 15, 21, 27]


def test_a_single_picture_has_no_slider() -> None:
    assert "range" not in slice_viewer(Volume("x", np.zeros((4, 4, 1))), PictureBudget())


def test_the_limit_is_kept_and_said() -> None:
    budget = PictureBudget(limit=10)
    assert "limit of pictures" in slice_viewer(volume(), budget)
    assert budget.left_out == 1
    assert budget.spent == 0


def test_pictures_lose_size_and_what_is_written_in_them(tmp_path: Path) -> None:
    note = PngInfo()
    note.add_text("Patient", "somebody")
    path = tmp_path / "wide.png"
    Image.fromarray(np.zeros((10, 3200), np.uint8)).save(path, pnginfo=note)
    budget = PictureBudget()
    uri, size = budget.file(path)
    assert size == (1600, 5)
    assert uri is not None
    assert budget.spent == len(uri)
    data = base64.b64decode(uri.partition(",")[2])
    assert b"somebody" not in data
    assert Image.open(io.BytesIO(data)).size == size


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_text("no")
    with pytest.raises(InputError, match=r"x.png: cannot be read as a picture"):
        PictureBudget().file(path)
