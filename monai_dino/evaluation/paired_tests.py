# SPDX-License-Identifier: Apache-2.0
"""Whether methods differ, over the same cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from monai_dino.errors import InputError

__all__ = ["PairedTest", "holm", "mean_ranks", "paired_tests"]

_DIGITS = 12  # of differences: 1 - 2/3 and 2/3 - 1/3 are to tie
_EXACT = 50


@dataclass(frozen=True)
class PairedTest:
    """Two methods over the same cases.

    Attributes:
        first: name of one.
        second: name of the other.
        n: number of cases.
        difference: mean of the first minus the second.
        p: of the two-sided test.
        p_holm: corrected for all pairs that were tested beside it.
    """

    first: str
    second: str
    n: int
    difference: float
    p: float
    p_holm: float


def paired_tests(values: Mapping[str, Sequence[float]]) -> list[PairedTest]:
    """Wilcoxon's signed-rank test of each two methods, two-sided, with Holm's correction over the pairs.

    Pairs that are equal are left out (Wilcoxon 1945), and differences that tie share the mean of their ranks. The
    distribution is exact, given the ranks, for up to 50 pairs; beyond, scipy's approximation. Two methods that are
    equal in every case have p = 1. The test takes cases as independent: where a patient has several, give the mean of
    each patient.

    Args:
        values: name of the method -> value of each case, in the same order.

    Returns:
        A test for each two methods, in their order; none for fewer than two methods.

    Raises:
        InputError: when lengths differ, there are no cases, or a value is not finite; it names the method.
    """
    table = _table(values)
    pairs, p_values = list(combinations(range(len(table)), 2)), []
    for a, b in pairs:
        difference = np.round(table[a] - table[b], _DIGITS)
        p_values.append(_signed_rank(difference[difference != 0]))
    names = list(values)
    return [
        PairedTest(names[a], names[b], table.shape[1], float((table[a] - table[b]).mean()), p, corrected)
        for (a, b), p, corrected in zip(pairs, p_values, holm(p_values), strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values of several tests so that the probability of any false finding stays below the level.

    Step-down (Holm, Scandinavian Journal of Statistics 6, 1979): the i-th smallest of m counts m - i + 1 times, none
    less than one before it, none above 1.

    Args:
        p_values: in [0, 1].

    Returns:
        The corrected ones, in the same order.

    Raises:
        InputError: for a value outside of [0, 1], or NaN.
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"p_values: {p.tolist()}, expected numbers from 0 to 1")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return [float(value) for value in corrected]


def mean_ranks(values: Mapping[str, Sequence[float]], higher_is_better: bool = True) -> dict[str, float]:
    """The mean rank of each method over the cases, 1 for the best; methods that tie share the mean of their ranks.

    Args:
        values: see :func:`paired_tests`.
        higher_is_better: whether a higher value is better, as of Dice; not of a distance.

    Returns:
        Name of the method -> mean rank.

    Raises:
        InputError: see :func:`paired_tests`.
    """
    from scipy.stats import rankdata

    table = _table(values)
    ranks = rankdata(-table if higher_is_better else table, axis=0).mean(axis=1)
    return {name: float(rank) for name, rank in zip(values, ranks, strict=True)}


def _signed_rank(differences: np.ndarray) -> float:
    """Two-sided p; scipy is exact only where no ranks tie, and goes through every sign one by one otherwise."""
    from scipy.stats import rankdata, wilcoxon

    if len(differences) > _EXACT:
        return float(wilcoxon(differences, method="asymptotic").pvalue)
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(int)  # twice, since shared ranks may be halves
    ways = np.zeros(ranks.sum() + 1)  # in which signs can be dealt out, for each sum of the positive ranks
    ways[0] = 1
    for rank in ranks:
        ways[rank:] += ways[:-rank].copy()
    positive = ranks[differences > 0].sum()
    tails = ways[: positive + 1].sum(), ways[positive:].sum()
    return float(min(2 * min(tails) / ways.sum(), 1))


def _table(values: Mapping[str, Sequence[float]]) -> np.ndarray:
    lengths = {name: len(column) for name, column in values.items()}
    if not values or len(set(lengths.values())) > 1 or not min(lengths.values()):
        raise InputError(f"values: numbers of cases are {lengths}, expected the same for each method, and at least one")
    table = np.array([np.asarray(column, dtype=float) for column in values.values()])
    for name, row in zip(values, table, strict=True):
        if (bad := ~np.isfinite(row)).any():
            raise InputError(
                f"{name}: {int(bad.sum())} of {len(row)} values are not finite (NaN or infinite), the first of case "
                f"number {int(bad.argmax())}; say what such a case counts (a case without a result is the worst), or "
                f"leave it out for every method"
            )
    return table
