# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from synthetic import BLOCK, SPECK, box_labels

from monai_dino.auto3dseg.postprocessing_choice import choose_postprocessing
from monai_dino.errors import ConfigurationError


def test_the_choice_is_by_dice() -> None:
    truth, noisy = box_labels((BLOCK, 1)), box_labels((BLOCK, 1), (SPECK, 1))
    chosen, scores = choose_postprocessing([(noisy, truth)], 2)
    assert "largest" in chosen.steps or "opening" in chosen.steps
    n = int((truth == 1).sum())
    assert scores["none"] == pytest.approx(2 * n / (2 * n + 1))
    assert scores["largest"] == 1.0
    assert choose_postprocessing([(truth, truth)], 2)[0].name == "none"
    two = box_labels((BLOCK, 1), (SPECK, 1))  # the speck belongs there
    assert choose_postprocessing([(two, two)], 2)[0].name == "none"


def test_the_choice_without_anything_to_measure() -> None:
    empty = torch.zeros(4, 4, 4, dtype=torch.uint8)
    for cases in ([], [(empty, empty)]):
        chosen, scores = choose_postprocessing(cases, 2)
        assert chosen.name == "none"
        assert all(np.isnan(score) for score in scores.values())
    with pytest.raises(ConfigurationError, match="no candidates"):
        choose_postprocessing([], 2, [])
