# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino.data.folds import assign_folds
from monai_dino.errors import DatalistError

# sklearn warns of classes with fewer cases than folds, which is allowed
pytestmark = pytest.mark.filterwarnings("ignore")

cases = st.lists(st.tuples(st.integers(0, 15).map("p{}".format), st.integers(0, 2)), min_size=15, max_size=40)


@settings(deadline=None, max_examples=25)
@given(
    cases=cases, folds=st.integers(2, 5), share=st.sampled_from([0, 0.01, 0.1, 0.2, 0.35, 0.5]), seed=st.integers(0, 99)
)
def test_every_case_has_one_place_and_no_patient_two(
    cases: list[tuple[str, int]], folds: int, share: float, seed: int
) -> None:
    patients, strata = zip(*cases, strict=True)
    try:
        assigned = assign_folds(patients, strata, folds, share, seed)
    except DatalistError:  # too few cases
        return
    assert len(assigned) == len(cases)
    assert set(assigned) == {*range(folds), *([None] if share else [])}
    assert len(set(zip(patients, assigned, strict=True))) == len(set(patients))
    assert assign_folds(patients, strata, folds, share, seed) == assigned


@pytest.mark.parametrize("share", [0, 0.25])
def test_without_folds_all_but_the_test_set_are_together(share: float) -> None:
    assigned = assign_folds([f"p{i}" for i in range(20)], [0] * 20, None, share, 0)
    assert Counter(assigned) == Counter({0: 20 - round(20 * share), **({None: 5} if share else {})})
    assert assign_folds(["one"], [0], None, 0, 0) == [0]


def test_another_seed_is_another_split() -> None:
    patients, strata = [f"p{i}" for i in range(40)], [i % 2 for i in range(40)]
    splits = {tuple(assign_folds(patients, strata, 5, 0.2, seed)) for seed in range(5)}
    assert len(splits) == 5


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_spread_evenly(seed: int) -> None:
    strata = [0] * 60 + [1] * 30 + [2] * 15
    assigned = assign_folds([f"p{i}" for i in range(105)], strata, 5, 0.2, seed)
    for stratum, size in ((0, 60), (1, 30), (2, 15)):
        parts = Counter(a for a, s in zip(assigned, strata, strict=True) if s == stratum)
        assert abs(parts[None] - size / 5) <= 1
        counts = [parts[fold] for fold in range(5)]
        assert max(counts) - min(counts) <= 1


def test_classes_of_patients_with_several_cases_are_spread() -> None:
    patients = [f"p{i // 3}" for i in range(180)]
    strata = [(i // 3) % 3 for i in range(180)]
    assigned = assign_folds(patients, strata, 4, 0, 0)
    assert len(set(zip(patients, assigned, strict=True))) == 60
    for fold in range(4):
        parts = Counter(s for a, s in zip(assigned, strata, strict=True) if a == fold)
        assert all(9 <= parts[stratum] <= 21 for stratum in range(3))


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 1 / 3, 0.4, 0.45, 0.5])
def test_test_set_has_its_share(share: float) -> None:
    assigned = assign_folds([str(i) for i in range(400)], [i % 2 for i in range(400)], 5, share, 0)
    assert abs(assigned.count(None) / 400 - share) < 0.01


@pytest.mark.parametrize(
    ("patients", "strata", "folds", "share", "message"),
    [
        (10, 1, 1, 0.2, "folds=1: expected at least 2"),
        (10, 1, 2, 0.6, "test_share=0.6: expected a share"),
        (10, 1, 2, -0.1, "test_share=-0.1: expected a share"),
        (4, 1, 5, 0, "4 patients are too few for 5 folds"),
        (4, 1, 2, 0.05, "test_share=0.05: too few cases"),
        (6, 6, 5, 0, "no class has the 5 cases that 5 folds need"),
    ],
)
def test_what_is_refused(patients: int, strata: int, folds: int, share: float, message: str) -> None:
    with pytest.raises(DatalistError, match=message):
        assign_folds([str(i) for i in range(patients)], [i % strata for i in range(patients)], folds, share, 0)
