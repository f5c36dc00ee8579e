# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, wilcoxon

from monai_dino.errors import InputError
from monai_dino.evaluation import holm, mean_ranks, paired_tests

PROBABILITIES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.01, 0.02, 0.05])), max_size=6)


def holm_rejects(p: list[float], level: float) -> set[int]:
    """Holm's procedure as he defined it: from the smallest, until one is not below level / (how many remain)."""
    rejected: set[int] = set()
    for index in sorted(range(len(p)), key=p.__getitem__):
        if p[index] > level / (len(p) - len(rejected)):
            break
        rejected.add(index)
    return rejected


@settings(deadline=None, max_examples=100)
@given(PROBABILITIES, st.floats(0.001, 0.999))
def test_holm_rejects_at_every_level_what_his_procedure_rejects(p: list[float], level: float) -> None:
    corrected = holm(p)
    if any(abs(c - level) < 1e-9 for c in corrected):
        return  # decided by rounding
    assert {k for k, c in enumerate(corrected) if c <= level} == holm_rejects(p, level)


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
    with pytest.raises(InputError, match="from 0 to 1"):
        holm([0.5, float("nan")])


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 80), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_equals_scipy(n: int, methods: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {f"m{k}": rng.normal(size=n) for k in range(methods)}
    found = paired_tests(values)
    assert [(t.first, t.second) for t in found] == [
        (f"m{a}", f"m{b}") for a in range(methods) for b in range(a + 1, methods)
    ]
    for test in found:
        first, second = values[test.first], values[test.second]
        assert test.p == pytest.approx(wilcoxon(first, second).pvalue)
        assert test.difference == pytest.approx((first - second).mean())
        assert test.n == n
    assert [t.p_holm for t in found] == pytest.approx(holm([t.p for t in found]))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8))
def test_with_ties_the_signs_are_dealt_out_in_every_way(differences: list[int]) -> None:
    (test,) = paired_tests({"a": differences, "b": [0] * len(differences)})
    d = np.array([v for v in differences if v], dtype=float)
    if not len(d):
        assert test.p == 1
        return
    ranks = rankdata(np.abs(d))
    sums = np.array([ranks @ signs for signs in product((0, 1), repeat=len(d))])
    seen = ranks[d > 0].sum()
    assert test.p == pytest.approx(min(1, 2 * min((sums <= seen).mean(), (sums >= seen).mean())))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_ranks_are_averaged_over_cases(n: int, methods: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(3, size=(methods, n))
    found = mean_ranks({f"m{k}": row for k, row in enumerate(values)})
    assert list(found.values()) == pytest.approx(np.mean([rankdata(-column) for column in values.T], axis=0))


def test_equal_differences_tie_whatever_their_last_digits() -> None:
    a, b = [1.0, 1 / 3, 0.5], [2 / 3, 2 / 3, 0.75]
    assert 1.0 - 2 / 3 != 2 / 3 - 1 / 3
    (found,) = paired_tests({"a": a, "b": b})
    (whole,) = paired_tests({"a": [12, 4, 6], "b": [8, 8, 9]})
    assert found.p == whole.p


def test_methods_that_never_differ() -> None:
    (test,) = paired_tests({"a": [0.5, 0.7], "b": [0.5, 0.7]})
    assert (test.p, test.p_holm, test.difference) == (1, 1, 0)
    assert mean_ranks({"a": [0.5, 0.7], "b": [0.5, 0.7]}) == {"a": 1.5, "b": 1.5}
    assert mean_ranks({"near": [1.0, 2.0], "far": [3.0, 4.0]}, higher_is_better=False) == {"near": 1, "far": 2}
    assert paired_tests({"alone": [0.5]}) == []
    assert paired_tests({"a": [0.5], "b": [0.25]})[0].p == 1


def test_values_that_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="'a': 2, 'b': 1"):
        paired_tests({"a": [1, 2], "b": [1]})
    with pytest.raises(InputError, match=r"b: 1 of 2 values are not finite .* case number 1"):
        paired_tests({"a": [1, 2], "b": [1, float("nan")]})
    for nothing in ({}, {"a": [], "b": []}):
        with pytest.raises(InputError, match="at least one"):
            paired_tests(nothing)
