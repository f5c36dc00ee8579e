# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from monai_dino.errors import ConfigurationError
from monai_dino.networks.nets.build import resize_to
from monai_dino.transforms import ResizeSlices, ResizeSlicesD, ResizeSlicesd, ResizeSlicesDict

sides, sizes, seeds = st.integers(12, 150), st.integers(8, 60), st.integers(0, 2**32 - 1)


def centre(mass: torch.Tensor) -> np.ndarray:
    """The centre of mass of a slice (H, W), as shares of its sides."""
    places = torch.meshgrid(*((torch.arange(n) + 0.5) / n for n in mass.shape), indexing="ij")
    return np.array([float((p * mass).sum() / mass.sum()) for p in places])


@given(sides, sides, sizes, seeds)
def test_a_mask_stays_on_its_image(height: int, width: int, size: int, seed: int) -> None:
    """MONAI's Resized, bilinear and nearest, moves one against the other by half a pixel of the result."""
    rng = np.random.default_rng(seed)
    mask = torch.zeros(1, height, width, dtype=torch.uint8)
    (top, left) = (int(rng.integers(0, n // 2)) for n in (height, width))
    mask[:, top : top + height // 2, left : left + width // 2] = 1
    item = ResizeSlicesd(["image", "label"], size, ["bilinear", "nearest"])({"image": mask.float(), "label": mask})
    assert item["label"].dtype == torch.uint8
    assert set(item["label"].unique().tolist()) <= {0, 1}
    between = (centre(item["label"][0].float()) - centre(item["image"][0])) * size
    # An edge is half a pixel off at most, and a little more where the kernel of the image is cut off at the border.
    assert np.abs(between).max() <= 0.55


def test_resized_masks_are_unbiased() -> None:
    """Over all places of a square the mask is as often above as below the image, left as right."""
    moved = []
    for top in range(20):
        mask = torch.zeros(1, 50, 50, dtype=torch.uint8)
        mask[:, top : top + 20, 25 - top // 2 : 45 - top // 2] = 1
        item = ResizeSlicesd(["image", "label"], 22, ["bilinear", "nearest"])({"image": mask.float(), "label": mask})
        moved.append((centre(item["label"][0].float()) - centre(item["image"][0])) * 22)
    assert np.abs(np.mean(moved, axis=0)).max() < 0.05


@given(sides, sides, sizes, seeds)
def test_images_are_those_of_inference(height: int, width: int, size: int, seed: int) -> None:
    image = torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(ResizeSlices(size)(image), resize_to(image[None], size)[0])
    flat = ResizeSlices(size)(torch.full((1, height, width), 0.7))
    torch.testing.assert_close(flat, torch.full((1, size, size), 0.7))  # to the border


def test_volumes_are_resized_slice_by_slice() -> None:
    volume = MetaTensor(torch.rand(2, 30, 20, 5), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    found = ResizeSlices(12)(volume)
    assert found.shape == (2, 12, 12, 5)
    for k in range(5):
        torch.testing.assert_close(found[..., k], ResizeSlices(12)(volume[..., k]))


@pytest.mark.parametrize("shape", [(1, 30, 20), (1, 30, 20, 4)])
def test_the_affine_keeps_corners_in_place(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    affine = torch.as_tensor(np.vstack([rng.normal(size=(3, 4)), [0, 0, 0, 1]]))
    image = MetaTensor(torch.rand(shape), affine=affine, meta={"filename_or_obj": "a"})
    found = ResizeSlices(12)(image)
    assert (found.meta["filename_or_obj"], tuple(found.shape[1:3])) == ("a", (12, 12))
    for before, after in (((-0.5, -0.5), (-0.5, -0.5)), ((29.5, 19.5), (11.5, 11.5)), ((29.5, -0.5), (11.5, -0.5))):
        for depth in (0.0, 3.0):
            old, new = (torch.tensor([*p, depth, 1.0], dtype=torch.float64) for p in (before, after))
            torch.testing.assert_close(found.affine @ new, image.affine @ old)
    torch.testing.assert_close(image.affine, affine)  # the input is left as it was


def test_names_and_missing_keys() -> None:
    assert ResizeSlicesD is ResizeSlicesDict is ResizeSlicesd
    resize = ResizeSlicesd(["image", "label"], 8, allow_missing_keys=True)
    assert set(resize({"image": torch.rand(1, 9, 9)})) == {"image"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "image_size=0: expected a side"), ((None,), "image_size=None"), ((8, "area"), "mode: unknown 'area'")],
)
def test_bad_settings(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ResizeSlices(*arguments)
