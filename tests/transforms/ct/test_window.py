# SPDX-License-Identifier: Apache-2.0
"""Windows against MONAI's ScaleIntensityRange."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import ScaleIntensityRange

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import RandCTWindow


def test_the_drawn_window_is_what_monai_makes_of_it() -> None:
    x = torch.linspace(-1000, 1000, 60).reshape(1, 6, 10)
    window = RandCTWindow(prob=1.0, window=(-100, 300)).set_random_state(0)
    found = window(x)
    assert window.parameters is not None
    level, width = float(window.parameters["level"][0]), float(window.parameters["width"][0])
    wanted = ScaleIntensityRange(level - width / 2, level + width / 2, 0.0, 1.0, clip=True)(x)
    torch.testing.assert_close(found, torch.as_tensor(wanted), atol=1e-5, rtol=0)
    assert abs(level - 100) <= 25
    assert 0.8 * 400 <= width <= 1.25 * 400


def test_windows_are_jittered_as_often_as_stated() -> None:
    drawn = RandCTWindow(prob=0.3).draw(np.random.RandomState(0), 2000)
    assert (drawn["level"] != 40).mean() == pytest.approx(0.3, abs=0.03)
    assert ((drawn["level"] == 40) == (drawn["width"] == 400)).all()


def test_volumes_are_taken_too() -> None:
    assert RandCTWindow()(torch.zeros(1, 4, 5, 6)).shape == (1, 4, 5, 6)


@pytest.mark.parametrize("wrong", [{"window": (10, 10)}, {"width_factor": (0.0, 1.0)}, {"level_shift": (5, -5)}])
def test_values_that_cannot_work_are_named(wrong: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RandCTWindow(**wrong)  # type: ignore[arg-type]
