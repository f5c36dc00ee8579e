# SPDX-License-Identifier: Apache-2.0
"""Bootstrap intervals over cases, drawn by patient."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Estimate", "bootstrap"]


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval.

    Attributes:
        value: the statistic of all cases.
        low: lower end of the interval.
        high: upper end.
        n: number of cases it was computed from.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] (n = {self.n})"


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    n: int,
    groups: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Whole patients are drawn, since the cases of one patient are not independent.

    Args:
        statistic: maps indices of cases to a number; NaN where it is undefined, as when a class is not drawn.
        n: number of cases.
        groups: the patient of each case; ``None`` takes each case as one.
        confidence: coverage of the interval.
        resamples: number of draws.
        seed: seed of the draws.

    Returns:
        The statistic of all cases with its interval, over the draws in which it is defined; with fewer than two
        patients, or where it is never defined, the interval is NaN.
    """
    value = statistic(np.arange(n)) if n else float("nan")
    labels = list(range(n)) if groups is None else list(groups)
    members = [np.flatnonzero([g == group for g in labels]) for group in dict.fromkeys(labels)]
    if len(members) < 2:
        return Estimate(value, float("nan"), float("nan"), n)
    rng = np.random.default_rng(seed)
    draws = np.array(
        [
            statistic(np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))]))
            for _ in range(resamples)
        ]
    )
    if np.isnan(draws).all():
        return Estimate(value, float("nan"), float("nan"), n)
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return Estimate(value, float(low), float(high), n)
