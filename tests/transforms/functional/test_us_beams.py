# SPDX-License-Identifier: Apache-2.0
"""Physics along the beams."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.transforms.functional.us_beams import (
    DYNAMIC_RANGE,
    acoustic_shadow,
    beam_coordinates,
    depth_gain,
    haze,
    reverberation,
)

PARALLEL = torch.tensor([[-2000.0, 0.5]], dtype=torch.float64)
FAN = torch.tensor([[-0.4, 0.5]], dtype=torch.float64)


def constant(value: float = 0.8) -> torch.Tensor:
    return torch.full((1, 1, 50, 41), value, dtype=torch.float64)


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def test_parallel_beams_are_columns_and_depth_is_rows() -> None:
    depth, lateral = beam_coordinates(constant(), PARALLEL)
    np.testing.assert_allclose(depth[0, 0, :, 3].numpy(), np.linspace(0, 1, 50), atol=1e-3)
    np.testing.assert_allclose(lateral[0, 0, 7].numpy(), (np.arange(41) - 20) / 41, atol=1e-3)


def test_depth_in_a_fan_is_the_distance_from_the_apex() -> None:
    depth, lateral = beam_coordinates(constant(), FAN)
    row, column = np.indices((50, 41)) + 0.5
    distance = np.hypot(row + 20, column - 20.5)
    np.testing.assert_allclose(depth[0, 0].numpy(), (distance - distance.min()) / np.ptp(distance), atol=1e-9)
    angle = np.arctan2(column - 20.5, row + 20)
    ratio = lateral[0, 0].numpy()[angle != 0] / angle[angle != 0]
    np.testing.assert_allclose(ratio, ratio[0])


@pytest.mark.parametrize("apex", [PARALLEL, FAN])
def test_attenuation_is_a_straight_line_in_db(apex: torch.Tensor) -> None:
    depth, _ = beam_coordinates(constant(), apex)
    found = depth_gain(constant(), torch.tensor([[0.0, -12.0]], dtype=torch.float64), apex)
    torch.testing.assert_close((constant() - found) * DYNAMIC_RANGE, 12 * depth)


def test_gain_is_that_of_the_sliders() -> None:
    gain = torch.tensor([[0.0, 6.0, -6.0]], dtype=torch.float64)
    found = (depth_gain(constant(0.5), gain, PARALLEL) - 0.5)[0, 0, :, 0].numpy() * DYNAMIC_RANGE
    np.testing.assert_allclose(found, np.interp(np.linspace(0, 1, 50), [0, 0.5, 1], [0, 6, -6]), atol=0.05)


def test_a_shadow_lies_behind_its_reflector_and_about_its_beam() -> None:
    found = acoustic_shadow(constant(), one(30.0), one(0.4), one(0.1), one(0.05), PARALLEL)
    dark = ((constant() - found) * DYNAMIC_RANGE)[0, 0].numpy()
    assert np.abs(dark[:20]).max() < 1e-9
    np.testing.assert_allclose(dark[30], 30 * np.exp(-0.5 * (((np.arange(41) - 20) / 41 - 0.1) / 0.05) ** 2), atol=0.1)
    np.testing.assert_allclose(dark[30:], dark[30][None].repeat(20, axis=0), atol=0.1)


def test_haze_fades_with_depth() -> None:
    found = haze(constant(0.2), one(0.5), one(0.25), PARALLEL)
    veil = ((found - 0.2) / 0.8)[0, 0, :, 0].numpy()
    np.testing.assert_allclose(veil, 0.5 * np.exp(-np.linspace(0, 1, 50) / 0.25), atol=1e-3)


@pytest.mark.parametrize("apex", [PARALLEL, FAN])
def test_echoes_are_equally_spaced_and_each_is_weaker(apex: torch.Tensor) -> None:
    x = torch.full((1, 1, 101, 41), 0.05, dtype=torch.float64)
    x[0, 0, 10] = 0.9
    found = reverberation(x, one(20 / 101), one(9.0), apex)[0, 0, :, 20].numpy()
    for k, row in enumerate((10, 30, 50, 70)):
        assert found[row] == pytest.approx(0.9 - k * 9 / DYNAMIC_RANGE, abs=0.06)
        assert found[row] == found[row - 3 : row + 4].max()
    assert (found >= x[0, 0, :, 20].numpy() - 1e-12).all()


def test_haze_fills_dark_tissue_but_not_the_surround() -> None:
    x = torch.full((1, 1, 96, 96), 0.4, dtype=torch.float64)
    x[..., :48], x[..., 20:22, 70:72] = 0, 0
    found = haze(x, one(0.5), one(0.5), PARALLEL)
    assert found[..., 20:22, 70:72].min() > 0.1
    assert found[..., :40].abs().max() == 0


def test_black_stays_black() -> None:
    x = constant()
    x[..., :5] = 0
    for found in (
        depth_gain(x, torch.tensor([[6.0, 6.0]]), FAN),
        acoustic_shadow(x, one(30.0), one(0.0), one(0.0), one(0.1), FAN),
    ):
        assert found[..., :5].abs().max() == 0
