# SPDX-License-Identifier: Apache-2.0
"""The insonified part of frames that were drawn, and of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image
from pydicom.data import get_testdata_file

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import SectorMask, SectorMaskd, find_sector


def fan(apex: tuple[float, float], half: float, radii: tuple[float, float], tilt: float = 0.0) -> np.ndarray:
    """A frame of noisy tissue in a fan, with text beside it."""
    rng = np.random.default_rng(0)
    row, column = np.indices((300, 400))
    distance = np.hypot(row - apex[0], column - apex[1])
    angle = np.degrees(np.arctan2(column - apex[1], row - apex[0]))
    inside = (np.abs(angle - tilt) < half) & (distance > radii[0]) & (distance < radii[1])
    frame = np.where(inside, rng.gamma(2.0, 25.0, inside.shape) + 8, 0)
    frame[10:18, 5:60:3] = 200
    return frame.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("apex", "half", "radii"), [((10, 200), 40, (5, 260)), ((-60, 190), 30, (75, 330)), ((-100, 210), 25, (120, 380))]
)
def test_a_fan_is_recovered(apex: tuple[float, float], half: float, radii: tuple[float, float]) -> None:
    found = find_sector(fan(apex, half, radii))
    assert found.kind == "fan"
    assert found.apex is not None
    assert np.hypot(found.apex[0] - apex[0], found.apex[1] - apex[1]) < 15
    np.testing.assert_allclose(found.angles, (-half, half), atol=3)
    np.testing.assert_allclose(found.radii, radii, atol=16)
    assert not found.mask[10:18, 5:60].any()


def test_a_linear_probes_field_is_a_rectangle() -> None:
    frame = np.zeros((200, 300), dtype=np.uint8)
    frame[30:180, 60:240] = np.random.default_rng(0).integers(10, 200, (150, 180))
    frame[100:180, 100:140] = 0  # a shadow that reaches the border
    found = find_sector(frame)
    assert (found.kind, found.apex) == ("rectangle", None)
    assert found.area_fraction == pytest.approx(150 * 180 / 60_000, rel=0.03)
    assert found.mask[170, 120]


def test_without_black_surround_it_is_the_whole_frame() -> None:
    found = find_sector(np.random.default_rng(0).integers(20, 200, (3, 50, 60)))
    assert found.kind == "rectangle"
    assert found.area_fraction == 1.0


def test_of_a_cine_only_what_moves_counts() -> None:
    rng = np.random.default_rng(0)
    frames = np.zeros((8, 100, 120))
    frames[:, :20] = 180  # a bar that touches the field
    frames[:, 20:90, 30:100] = rng.integers(20, 200, (8, 70, 70))
    assert find_sector(frames[0]).mask[5, 60]
    moving = find_sector(frames, cine=True)
    assert not moving.mask[:17].any()
    assert moving.area_fraction == pytest.approx(70 * 70 / 12_000, rel=0.06)


def test_the_mask_joins_the_item_on_the_frames_grid() -> None:
    image = MetaTensor(torch.from_numpy(fan((10, 200), 40, (5, 260)))[None], affine=np.diag([2.0, 3, 1, 1]))
    found = SectorMaskd("image")({"image": image})
    assert found["sector"].shape == (1, 300, 400)
    assert found["sector"].dtype == torch.uint8
    np.testing.assert_allclose(found["sector"].affine, image.affine)
    assert torch.equal(found["sector"], SectorMask()(image))
    assert type(SectorMask()(image.numpy())) is torch.Tensor
    with pytest.raises(ConfigurationError, match="one frame"):
        SectorMaskd(["a", "b"])


@pytest.mark.parametrize("frame", [np.zeros((20, 20)), np.full((20, 20), np.nan), np.zeros((0, 3)), np.zeros(5)])
def test_frames_without_a_sector_are_refused(frame: np.ndarray) -> None:
    with pytest.raises(InputError, match="find_sector"):
        find_sector(frame)


def test_a_real_cine_has_the_sector_that_was_measured_by_hand() -> None:
    """An echocardiogram: edges read off a grid meet at row 4, column 170, at 41.5 degrees, 198 pixels above the arc."""
    path = get_testdata_file("examples_ybr_color.dcm", download=False)
    frames = pydicom.dcmread(path).pixel_array[..., 0].astype(np.float32)
    found = find_sector(frames, cine=True)
    assert found.kind == "fan"
    assert found.apex is not None
    np.testing.assert_allclose(found.apex, (4, 170), atol=8)
    np.testing.assert_allclose(found.angles, (-41.5, 41.5), atol=3)
    assert found.area_fraction == pytest.approx(0.365, abs=0.025)


def test_real_breast_images_fill_their_frame(real_data: Path) -> None:
    """Looked at, all of them: these are cut to the field of a linear probe."""
    paths = sorted((real_data / "breast_us").rglob("*.jpg"))
    assert len(paths) == 60
    for path in paths:
        with Image.open(path) as picture:
            found = find_sector(np.asarray(picture.convert("L")))
        assert found.kind == "rectangle", path.name
        assert found.area_fraction > 0.99, path.name


@pytest.mark.parametrize(
    ("name", "black"),
    [  # legs of the black triangles left and right above the fan, read off a grid, in pixels of 256
        ("malignant (67).jpg", [(36, 96), (43, 135)]),
        ("malignant (163).jpg", [(48, 106), (49, 107)]),
    ],
)
def test_fans_of_real_breast_images_have_the_area_that_was_measured_by_hand(
    name: str, black: list[tuple[int, int]], real_data: Path
) -> None:
    with Image.open(real_data / "breast_us_classes" / "malignant" / name) as picture:
        found = find_sector(np.asarray(picture.convert("L")))
    assert found.kind == "fan"
    by_hand = 1 - sum(width * height / 2 for width, height in black) / 256**2
    assert found.area_fraction == pytest.approx(by_hand, abs=0.03)  # a letter beside each fan touches it


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_frames_of_one_pixels_width_are_whole(shape: tuple[int, int]) -> None:
    assert find_sector(np.ones(shape)).area_fraction == 1.0
