# SPDX-License-Identifier: Apache-2.0
"""Boxes are drawn where views lie."""

from __future__ import annotations

import numpy as np
import torch

from monai_dino.transforms import RandLabelGuidedCrop, RandMultiCrop
from monai_dino.visualize import view_sheet
from monai_dino.visualize.overlay import COLOURS


def painted(picture: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    return (picture == np.round(255 * np.array(colour))).all(axis=-1)


def test_the_slice_comes_first_then_the_views() -> None:
    image = torch.zeros(1, 96, 96)
    found = RandMultiCrop("dinov2", local_count=3)(image)
    sheet = view_sheet(image, found, {name: stack.meta for name, stack in found.items()})
    assert sheet.dtype == np.uint8
    # The slice of 192 twice and two global views beside it, then two columns of two local views, one of which is empty.
    assert sheet.shape == (192, 2 * 196 + 2 * 196 + 4 + 2 * 100 + 4, 3)
    assert np.array_equal(sheet[:, :192], np.zeros((192, 192, 3)))


def test_a_box_is_drawn_around_what_a_view_shows() -> None:
    image = torch.zeros(1, 192, 192)
    box = np.array([[20, 40, 100, 60]])
    none = {"crop_box": box, "crop_center": np.array([[-1, -1]]), "crop_class": np.array([-1])}
    sheet = view_sheet(image, {"global": torch.zeros(1, 1, 8, 8)}, {"global": none})[:, 196:388]
    rows, columns = np.nonzero(painted(sheet, COLOURS[1]))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 119, 40, 99)


def test_guided_views_have_a_dot_on_their_pixel() -> None:
    image, label = torch.zeros(1, 192, 192), torch.zeros(1, 192, 192)
    label[0, 150, 30] = 1
    crop = RandLabelGuidedCrop("dino-mx", local_count=1, guided_count=1, local_scale=(0.1, 0.1)).set_random_state(0)
    found = crop(image, label)
    sheet = view_sheet(image, found, {name: stack.meta for name, stack in found.items()})
    assert painted(sheet, COLOURS[4])[149:153, 225:229].any()


def test_colour_stays_colour() -> None:
    image = torch.zeros(3, 20, 20)
    image[0] = 1
    found = RandMultiCrop(local_count=0)(image)
    sheet = view_sheet(image, found, {name: stack.meta for name, stack in found.items()})
    assert painted(sheet, (1.0, 0.0, 0.0)).mean() > 0.5
