# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_dino.auto3dseg.postprocessing_choice import choose_postprocessing
from monai_dino.errors import ConfigurationError


def volume(*boxes: tuple[tuple[slice, ...], int], shape: tuple[int, ...] = (12, 12, 12)) -> torch.Tensor:
    labels = torch.zeros(shape, dtype=torch.uint8)
    for box, k in boxes:
        labels[box] = k
    return labels


BLOCK = (slice(2, 8),) * 3
SPECK = (slice(10, 11),) * 3


def test_the_choice_is_by_dice() -> None:
    truth, noisy = volume((BLOCK, 1)), volume((BLOCK, 1), (SPECK, 1))
    chosen, scores = choose_postprocessing([(noisy, truth)], 2)
    assert "largest" in chosen.steps or "opening" in chosen.steps
    n = int((truth == 1).sum())
    assert scores["none"] == pytest.approx(2 * n / (2 * n + 1))
    assert scores["largest"] == 1.0
    assert choose_postprocessing([(truth, truth)], 2)[0].name == "none"
    two = volume((BLOCK, 1), (SPECK, 1))  # the speck belongs there
    assert choose_postprocessing([(two, two)], 2)[0].name == "none"


def test_the_choice_without_anything_to_measure() -> None:
    empty = torch.zeros(4, 4, 4, dtype=torch.uint8)
    for cases in ([], [(empty, empty)]):
        chosen, scores = choose_postprocessing(cases, 2)
        assert chosen.name == "none"
        assert all(np.isnan(score) for score in scores.values())
    with pytest.raises(ConfigurationError, match="no candidates"):
        choose_postprocessing([], 2, [])
