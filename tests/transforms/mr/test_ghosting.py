# SPDX-License-Identifier: Apache-2.0
"""Ghosts lie where the motion's frequency puts them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError
from monai_dino.transforms import RandMotionGhosting
from monai_dino.transforms.functional.ghosting import motion_ghosting


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


@pytest.mark.parametrize("cycles", [5, 9, 16])
@pytest.mark.parametrize("columns", [False, True])
def test_ghosts_of_an_edge_are_spaced_by_the_cycles_along_the_axis(cycles: int, columns: bool) -> None:
    x = torch.zeros(1, 1, 128, 128, dtype=torch.float64)
    x[0, 0, 60:68, 60:68] = 1
    found = motion_ghosting(x, one(1.0), one(cycles), one(0.7), torch.tensor([columns]))[0, 0]
    profile = (found[64] if columns else found[:, 64]).numpy()
    other = (found[:, 64] if columns else found[64]).numpy()
    assert np.abs(other[np.r_[:58, 70:128]]).max() < 1e-9
    beyond = profile[70:126]
    assert beyond.max() > 0.02
    # An edge at 59.5 or 67.5 has ghosts at multiples of the cycles from it.
    peak = 70 + int(beyond.argmax())
    offsets = [(peak - edge) / cycles for edge in (59.5, 67.5)]
    assert min(abs(o - round(o)) for o in offsets) <= 1.0 / cycles


@settings(deadline=None)
@given(shift=st.integers(-3, 3))
def test_a_constant_displacement_is_a_shift(shift: int) -> None:
    """Without cycles the object stays displaced, by A sin(phase)."""
    x = torch.zeros(1, 1, 16, 12, dtype=torch.float64)
    x[0, 0, 5:9, 4:8] = torch.rand(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = motion_ghosting(x, one(float(shift)), one(0.0), one(np.pi / 2), torch.tensor([False]))
    torch.testing.assert_close(found, x.roll(shift, dims=2), atol=1e-9, rtol=0)


def test_no_amplitude_changes_nothing() -> None:
    x = torch.rand(1, 1, 15, 10, dtype=torch.float64)
    found = motion_ghosting(x, one(0.0), one(6.0), one(1.0), torch.tensor([True]))
    torch.testing.assert_close(found, x)


def test_the_axis_can_be_stated() -> None:
    for axis in (0, 1):
        drawn = RandMotionGhosting(axis=axis).draw(np.random.RandomState(0), 50)
        assert (drawn["axis"] == bool(axis)).all()
    assert 0.3 < RandMotionGhosting().draw(np.random.RandomState(0), 200)["axis"].mean() < 0.7
    with pytest.raises(ConfigurationError, match="axis=2"):
        RandMotionGhosting(axis=2)
