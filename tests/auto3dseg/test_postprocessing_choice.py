# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from synthetic import BLOCK, SPECK, box_labels

from monai_dino.auto3dseg.postprocessing_choice import choose_postprocessing
from monai_dino.errors import ConfigurationError
from monai_dino.transforms.postprocessing import PostProcessing


def test_the_choice_is_by_dice() -> None:
    truth, noisy = box_labels((BLOCK, 1)), box_labels((BLOCK, 1), (SPECK, 1))
    chosen, scores = choose_postprocessing([(noisy, truth)] * 2, 2)
    assert chosen.steps in (("largest",), ("opening",))  # alone each takes the speck away
    n = int((truth == 1).sum())
    assert scores["none"] == pytest.approx(2 * n / (2 * n + 1))
    assert scores["largest"] == 1.0
    assert choose_postprocessing([(truth, truth)] * 2, 2)[0].name == "none"
    two = box_labels((BLOCK, 1), (SPECK, 1))  # the speck belongs there
    assert choose_postprocessing([(two, two)] * 2, 2)[0].name == "none"


@pytest.mark.parametrize(("helped", "same", "expected"), [(1, 0, "none"), (1, 9, "none"), (2, 8, "largest")])
def test_a_gain_within_its_standard_error_is_none(helped: int, same: int, expected: str) -> None:
    """The difference is d in ``helped`` of n cases and 0 in the others: above its standard error from 2 of 10."""
    truth, noisy = box_labels((BLOCK, 1)), box_labels((BLOCK, 1), (SPECK, 1))
    candidates = [PostProcessing(()), PostProcessing(("largest",))]
    chosen, scores = choose_postprocessing([(noisy, truth)] * helped + [(truth, truth)] * same, 2, candidates)
    assert scores["largest"] == 1.0 > scores["none"]
    assert chosen.name == expected


def test_what_finds_nothing_where_nothing_is_counts_as_right() -> None:
    """Taking a false finding away leaves that case without a Dice, and is a gain all the same."""
    empty, speck = box_labels(), box_labels((SPECK, 1))
    candidates = [PostProcessing(()), PostProcessing(("opening",))]
    chosen, scores = choose_postprocessing([(speck, empty)] * 3, 2, candidates)
    assert scores["none"] == 0.0
    assert np.isnan(scores["opening"])
    assert chosen.name == "opening"


def test_the_choice_without_anything_to_measure() -> None:
    empty = torch.zeros(4, 4, 4, dtype=torch.uint8)
    for cases in ([], [(empty, empty)]):
        chosen, scores = choose_postprocessing(cases, 2)
        assert chosen.name == "none"
        assert all(np.isnan(score) for score in scores.values())
    with pytest.raises(ConfigurationError, match="no candidates"):
        choose_postprocessing([], 2, [])
