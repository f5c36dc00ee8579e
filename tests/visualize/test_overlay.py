# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.visualize import mask_sheet, overlay
from monai_dino.visualize.overlay import COLOURS

TILE = 192
GAP = 2


def tile(sheet: np.ndarray, row: int, column: int, size: tuple[int, int] = (TILE, TILE)) -> np.ndarray:
    top, left = GAP + row * (size[0] + GAP), GAP + column * (size[1] + GAP)
    return sheet[top : top + size[0], left : left + size[1]]


def grey(picture: np.ndarray) -> np.ndarray:
    return np.ptp(picture.astype(float), axis=-1) < 1e-6


def numbered(depth: int, side: int = 8) -> torch.Tensor:
    """A volume whose slices have a grey value each."""
    return (torch.arange(depth) / (depth - 1)).expand(side, side, depth).clone()


@pytest.mark.parametrize(("depth", "columns", "shown"), [(10, 6, 6), (3, 6, 3), (10, 1, 1)])
@pytest.mark.parametrize("masks", [0, 1, 3])
def test_shape(depth: int, columns: int, shown: int, masks: int) -> None:
    image = torch.rand(8, 8, depth)
    sheet = mask_sheet(image, [torch.ones(8, 8, depth)] * masks, (1.0, 1.0, 1.0), columns)
    assert sheet.dtype == np.uint8
    assert sheet.shape == ((TILE + GAP) * (1 + masks) + GAP, (TILE + GAP) * shown + GAP, 3)


@pytest.mark.parametrize(
    ("shape", "spacing", "width"),
    [((10, 10), (1.0, 1.0), 192), ((10, 10), (1.0, 2.0), 384), ((20, 10), (1.0, 1.0), 96), ((20, 10), (0.5, 2.0), 384)],
)
def test_proportions_are_the_patients(shape: tuple[int, int], spacing: tuple[float, float], width: int) -> None:
    sheet = mask_sheet(torch.rand(*shape, 1), [], spacing)
    assert sheet.shape == (TILE + 2 * GAP, width + 2 * GAP, 3)


def test_thin_slices_can_be_seen() -> None:
    assert mask_sheet(torch.rand(500, 2, 1), [], (1.0, 1.0)).shape == (TILE + 2 * GAP, 8 + 2 * GAP, 3)


def test_slices_are_spread_over_the_volume() -> None:
    sheet = mask_sheet(numbered(11), [], (1.0, 1.0), columns=5)
    shown = [tile(sheet, 0, k)[90, 90, 0] / 255 * 10 for k in range(5)]
    np.testing.assert_allclose(shown, [1, 3, 5, 7, 9], atol=0.05)


def test_slices_are_those_with_a_label() -> None:
    masks = torch.zeros(2, 8, 8, 11, dtype=torch.uint8)
    masks[0, 2, 2, 4], masks[1, 3, 3, 9] = 1, 2
    sheet = mask_sheet(numbered(11), list(masks), (1.0, 1.0))
    assert sheet.shape[1] == (TILE + GAP) * 2 + GAP
    np.testing.assert_allclose([tile(sheet, 0, k)[-1, -1, 0] / 255 * 10 for k in range(2)], [4, 9], atol=0.05)


def test_volume_without_a_label_is_shown() -> None:
    empty = torch.zeros(8, 8, 11, dtype=torch.uint8)
    sheet = mask_sheet(numbered(11), [empty], (1.0, 1.0), columns=5)
    for column in range(5):
        np.testing.assert_array_equal(tile(sheet, 0, column), tile(sheet, 1, column))
    assert grey(sheet).all()


def test_colours_are_where_the_mask_is() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.uniform(0.2, 0.8, (24, 24, 1)))
    mask = torch.zeros(24, 24, 1, dtype=torch.uint8)
    mask[3:9, 12:20] = 1
    mask[15:20, 2:6] = 4
    sheet = mask_sheet(image, [mask], (1.0, 1.0))
    expected = mask[..., 0].numpy().repeat(8, 0).repeat(8, 1) > 0
    assert grey(tile(sheet, 0, 0)).all()
    np.testing.assert_array_equal(~grey(tile(sheet, 1, 0)), expected)
    np.testing.assert_array_equal(tile(sheet, 1, 0)[~expected], tile(sheet, 0, 0)[~expected])


def test_image_has_its_grey_values() -> None:
    image = torch.rand(6, 5)
    drawn = overlay(image, None, (6, 5))
    assert drawn.shape == (6, 5, 3)
    np.testing.assert_allclose(drawn, image[..., None].expand(6, 5, 3), atol=1e-6)
    clipped = overlay(torch.tensor([[-1.0, 2.0]]), None, (1, 2))
    np.testing.assert_allclose(clipped[..., 0], [[0, 1]])


@pytest.mark.parametrize("numbers", [[1], [2], [1, 2], [3, 7], [1, 8], [5, 300]])
@pytest.mark.parametrize("background", [True, False])
def test_class_has_the_same_colour_in_every_slice(numbers: list[int], background: bool) -> None:
    # Whichever other classes the slice has, and whether or not it has a background.
    labels = torch.tensor([[*numbers, 0] if background else numbers])
    drawn = overlay(torch.zeros(labels.shape), labels, tuple(labels.shape))[0]
    for place, number in enumerate(numbers):
        np.testing.assert_allclose(drawn[place], 0.45 * np.array(COLOURS[(number - 1) % len(COLOURS)]), atol=1e-6)
    if background:
        assert not drawn[-1].any()


def test_labels_are_not_mixed_when_resized() -> None:
    # Between the classes 1 and 3 there is no 2.
    labels = torch.tensor([[1, 3], [3, 1]])
    drawn = overlay(torch.zeros(2, 2), labels, (31, 29)).reshape(-1, 3)
    allowed = 0.45 * np.array([COLOURS[0], COLOURS[2]])
    assert np.abs(drawn[:, None] - allowed).sum(axis=2).min(axis=1).max() < 1e-6


def test_more_classes_than_colours() -> None:
    labels = torch.arange(1, 31).reshape(5, 6)
    drawn = overlay(torch.zeros(5, 6), labels, (5, 6))
    np.testing.assert_allclose(drawn[0, 0], drawn[1, 1], atol=1e-6)  # classes 1 and 8
    assert len(np.unique(drawn.reshape(-1, 3).round(6), axis=0)) == len(COLOURS)


@pytest.mark.parametrize(("shape", "expected"), [((10, 500, 2), (8, 384)), ((500, 10, 2), (192, 8))])
def test_long_slices_make_no_huge_picture(shape: tuple[int, int, int], expected: tuple[int, int]) -> None:
    sheet = mask_sheet(torch.zeros(shape), [], (1, 1), columns=1)
    assert sheet.shape == (expected[0] + 4, expected[1] + 4, 3)  # a border of two pixels
