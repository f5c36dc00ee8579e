# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.visualize import explanation_sheet
from monai_dino.visualize.explanation_sheet import shown_slices
from monai_dino.visualize.heat import heat_colours, heat_overlay

TITLE, GAP = 16, 2


def tile(sheet: np.ndarray, row: int, column: int, size: tuple[int, int]) -> np.ndarray:
    top, left = TITLE + GAP + row * (size[0] + GAP), GAP + column * (size[1] + GAP)
    return sheet[top : top + size[0], left : left + size[1]]


def test_tiles_lie_on_the_image() -> None:
    image, maps = torch.zeros(20, 40, 3), torch.zeros(2 + 3, 5, 10, 3)
    maps[1, 2, 7, 1] = 1.0  # the second head looks at one patch
    maps[2:, 4, 0] = torch.tensor([0.2, 0.4, 0.6])[:, None]
    sheet = explanation_sheet(image, maps, (1.0, 1.0), rows=3)
    size = (80, 160)
    assert sheet.shape == (TITLE + GAP + 3 * (size[0] + GAP), GAP + 5 * (size[1] + GAP), 3)
    head = tile(sheet, 1, 3, size)
    row, column = np.unravel_index(head.sum(axis=2).argmax(), size)
    assert (row // 16, column // 16) == (2, 7)
    assert not tile(sheet, 1, 2, size).max() > 5  # the first head looks nowhere
    np.testing.assert_allclose(tile(sheet, 0, 4, size)[-1, 0] / 255, [0.2, 0.4, 0.6], atol=0.01)


def test_padding_is_not_drawn() -> None:
    maps = torch.zeros(1 + 3, 2, 2, 1)
    maps[1:, 0, 0] = 1.0
    sheet = explanation_sheet(torch.zeros(14, 21, 1), maps, (1.0, 1.0), patch_size=14)
    shown = tile(sheet, 0, 3, (107, 160))
    assert (shown[:50, :50] == 255).all()  # the patch of the first column fills two thirds of the width
    assert shown[50, 159].max() < 20


def test_slices_with_a_label_are_shown() -> None:
    label = torch.zeros(4, 4, 9, dtype=torch.uint8)
    assert shown_slices(9, 3) == shown_slices(9, 3, label) == [1, 4, 7]
    label[0, 0, [2, 8]] = 1
    assert shown_slices(9, 3, label) == [2, 8]
    sheet = explanation_sheet(torch.rand(4, 4, 9), torch.rand(4, 2, 2, 9), (1.0, 2.0), label=label)
    assert sheet.shape == (TITLE + GAP + 2 * (80 + GAP), GAP + 4 * (160 + GAP), 3)


def test_hotter_is_lighter() -> None:
    colours = heat_colours(np.linspace(0, 1, 50)[None])[0]
    light = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()
    assert colours.min() >= 0
    assert colours.max() <= 1
    image = np.random.default_rng(0).uniform(size=(3, 4, 3))
    np.testing.assert_allclose(heat_overlay(image, np.zeros((3, 4))), image)


@pytest.mark.parametrize("shape", [(1, 1, 1), (300, 2, 1)])
def test_odd_shapes_are_drawn(shape: tuple[int, int, int]) -> None:
    sheet = explanation_sheet(torch.rand(*shape), torch.zeros(4, 1, 1, 1), (1.0, 1.0))
    assert sheet.dtype == np.uint8
    assert min(sheet.shape[:2]) > 8
