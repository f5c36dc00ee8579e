# SPDX-License-Identifier: Apache-2.0
"""Bootstrap intervals of what was repeated with several seeds on the same patients."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from monai_dino.evaluation.intervals import Estimate

__all__ = ["crossed_bootstrap"]

_BLOCK = 2**22  # weights that are in memory at once


def crossed_bootstrap(
    statistic: Callable[[int, np.ndarray], np.ndarray],
    seeds: int,
    groups: Sequence[Hashable] | np.ndarray,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> Estimate:
    """Percentile bootstrap over seeds and patients at once ("pigeonhole", Owen, Annals of Applied Statistics 1, 2007).

    In each draw as many seeds and as many patients are drawn as there are, each with replacement and apart, and the
    statistic of each drawn seed on the drawn patients is averaged. So the interval covers both which cases were learned
    from and which were tested; it is rather too wide than too narrow. With one seed it is :func:`bootstrap`.

    Args:
        statistic: maps a seed, counted from 0, and how often each draw has each case, shape (draws, N), to a number for
            each draw; NaN where it is undefined.
        seeds: number of seeds.
        groups: the patient of each case, shape (N,).
        confidence: coverage of the interval.
        resamples: number of draws.

    Returns:
        The mean over seeds of the statistic of all cases with its interval, over the draws in which it is defined; with
        fewer than two patients, or where it is never defined, the interval is NaN.
    """
    number = np.unique(np.asarray(groups), return_inverse=True)[1]
    n, patients = len(number), len(np.unique(number))
    value = float(np.mean([statistic(s, np.ones((1, n)))[0] for s in range(seeds)])) if n else float("nan")
    if patients < 2:
        return Estimate(value, float("nan"), float("nan"), n)
    rng = np.random.default_rng(0)
    drawn = [(rng.integers(seeds, size=seeds), rng.integers(patients, size=patients)) for _ in range(resamples)]
    seen: list[np.ndarray] = []
    step = max(_BLOCK // n, 1)
    for block in (drawn[k : k + step] for k in range(0, resamples, step)):
        times = np.stack([np.bincount(s, minlength=seeds) for s, _ in block])
        weights = np.stack([np.bincount(p, minlength=patients)[number] for _, p in block]).astype(float)
        each = np.stack([statistic(s, weights) for s in range(seeds)], axis=1)
        seen.append(np.where(times > 0, times * each, 0).sum(axis=1) / seeds)
    draws = np.concatenate(seen)
    if np.isnan(draws).all():
        return Estimate(value, float("nan"), float("nan"), n)
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return Estimate(value, float(low), float(high), n)
