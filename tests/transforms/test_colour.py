# SPDX-License-Identifier: Apache-2.0
"""Colour is for RGB alone."""

from __future__ import annotations

import pytest
import torch

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import RandColorJitter, RandGrayscale


@pytest.mark.parametrize("kind", [RandColorJitter, RandGrayscale])
def test_other_channels_are_refused(kind: type) -> None:
    with pytest.raises(InputError, match=rf"{kind.__name__}: expected 3 channels \(RGB\), got 1"):
        kind(prob=1.0)(torch.rand(1, 5, 5))


def test_values_that_cannot_work_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"hue=0\.6"):
        RandColorJitter(hue=0.6)
    with pytest.raises(ConfigurationError, match="brightness=-1"):
        RandColorJitter(brightness=-1)
