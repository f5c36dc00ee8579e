# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.auto3dseg.folds import ComparisonFold, comparison_folds
from monai_dino.errors import DatalistError


def items(patients: list[int], classes: int = 0) -> list[dict[str, Any]]:
    return [
        {"case": f"c{i}", "patient": f"p{p}", "label": p % classes if classes else f"m{i}", "fold": p % 2}
        for i, p in enumerate(patients)
    ]


def parts(fold: ComparisonFold) -> list[list[dict[str, Any]]]:
    return [fold.training, fold.validation, fold.held_out]


@settings(deadline=None, max_examples=8)
@given(st.lists(st.integers(0, 9), min_size=4, max_size=25), st.integers(2, 4), st.integers(0, 2), st.integers(0, 9))
def test_each_patient_is_in_one_part_and_each_case_is_held_out_once(
    patients: list[int], folds: int, classes: int, seed: int
) -> None:
    cases = items([*patients, 20, 21, 22, 23, 24, 25, 26, 27], classes)
    made = comparison_folds(cases, folds, seed)
    assert [fold.number for fold in made] == list(range(folds))
    assert sorted(c["case"] for f in made for c in f.held_out) == sorted(c["case"] for c in cases)
    for fold in made:
        people = [{c["patient"] for c in part} for part in parts(fold)]
        assert all(people)
        assert sum(map(len, people)) == len(set.union(*people))
        assert sum(len(part) for part in parts(fold)) == len(cases)
    assert made == comparison_folds(cases, folds, seed)


def test_folds_of_the_datalist() -> None:
    cases = items([0, 1, 2, 3, 4, 5])
    made = comparison_folds(cases, None, 0)
    assert [sorted(c["case"] for c in f.held_out) for f in made] == [["c0", "c2", "c4"], ["c1", "c3", "c5"]]
    assert [len(f.training) for f in made] == [2, 2]
    with pytest.raises(DatalistError, match=r"1 of 6 cases have no fold.*--folds"):
        comparison_folds([{**cases[0], "fold": None}, *cases[1:]], None, 0)
    with pytest.raises(DatalistError, match="0 of 3 cases have no fold, and there are 1 folds"):
        comparison_folds(items([0, 2, 4]), None, 0)
    with pytest.raises(DatalistError, match="patient p1: is in the folds 1 and 0"):
        comparison_folds([*cases, {**cases[1], "fold": 0}], None, 0)


def test_too_few_patients() -> None:
    with pytest.raises(DatalistError, match="fold 0: 1 patients are left"):
        comparison_folds(items([0, 1]), 2, 0)
