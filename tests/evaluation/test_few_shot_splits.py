# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation import FewShotSplits, few_shot_splits


def by_amount(found: FewShotSplits, seed: int) -> dict[str, set[int]]:
    return {s.amount: {*s.training.tolist(), *s.validation.tolist()} for s in found.splits if s.seed == seed}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**16), st.booleans())
def test_laws_of_draws(seed: int, several_cases: bool) -> None:
    """Test patients are never drawn, validation patients never learned from, and draws are nested."""
    rng = np.random.default_rng(seed)
    patient = rng.permutation(np.concatenate([np.arange(20), rng.integers(20, size=40 * several_cases)]))
    label = rng.permutation(np.arange(len(patient)) % 2)  # neither class is rare
    found = few_shot_splits(patient, label, (1, 2, 3), (0.5, 1), 3, 0.2)
    tested = set(patient[found.test])
    for split in found.splits:
        groups = set(patient[split.training]), set(patient[split.validation]), tested
        assert len(set.union(*groups)) == sum(map(len, groups))
        assert set(label[split.training]) == {0, 1}
        assert split.patients == len(groups[0] | groups[1])
        if split.amount.endswith("per class"):
            taken = np.concatenate([split.training, split.validation])
            for c in (0, 1):
                assert len(set(patient[taken][label[taken] == c])) == int(split.amount.split()[0])
    for number in range(3):
        drawn = by_amount(found, number)
        assert drawn["1 per class"] < drawn["2 per class"] < drawn["3 per class"]
        assert drawn["50 %"] < drawn["100 %"] == set(range(len(patient))) - set(found.test.tolist())


def test_seeds_draw_other_patients_but_test_on_the_same() -> None:
    found = few_shot_splits(np.arange(40), np.arange(40) % 2, (4,), (), 5)
    assert len({tuple(sorted(s.training)) for s in found.splits}) == 5
    assert len(found.test) == 10


def test_another_first_seed_holds_out_and_draws_others() -> None:
    first, second = (few_shot_splits(np.arange(40), None, (4,), (), 2, 0.25, first_seed=seed) for seed in (0, 7))
    assert set(first.test.tolist()) != set(second.test.tolist())
    assert [split.seed for split in second.splits] == [7, 8]


def test_segmentation_draws_patients_whatever_they_have() -> None:
    patient = np.repeat([f"p{k}" for k in range(10)], 2)
    found = few_shot_splits(patient, None, (1, 4, 9), (), 2, test=["p0", "p1"], validation_share=0.25)
    assert found.test.tolist() == [0, 1, 2, 3]
    sizes = [(s.amount, len(s.training), len(s.validation)) for s in found.splits]
    assert sizes == [("1 patients", 2, 0)] * 2 + [("4 patients", 6, 2)] * 2
    assert found.left_out == {"9 patients": "the data set has 8 patients beside the test patients"}


def test_a_class_with_too_few_patients_is_named() -> None:
    label = np.repeat([0, 1], [20, 4])
    found = few_shot_splits(np.arange(24), label, (2, 8), (), 1, 0.25, class_names=("healthy", "ill"))
    assert found.left_out == {"8 per class": "ill has 3 patients beside the test patients"}
    with pytest.raises(InputError, match="nothing can be drawn; class 1 has 3 patients"):
        few_shot_splits(np.arange(24), label, (8,), (), 1, 0.25)


def test_what_cannot_be_drawn_is_an_error() -> None:
    for wrong in ({"shots": (0,)}, {"shots": (0.5,)}, {"seeds": 0}, {"shots": ()}, {"shares": (1.5,)}):
        with pytest.raises(ConfigurationError):
            few_shot_splits(np.arange(8), None, **wrong)
    with pytest.raises(InputError, match="1 of 2 patients have no case, such as p9"):
        few_shot_splits(np.array(["p0", "p1"]), None, (1,), test=["p0", "p9"])
    with pytest.raises(InputError, match="no cases to learn from"):
        few_shot_splits(np.array(["p0", "p1"]), None, (1,), test=["p0", "p1"])
