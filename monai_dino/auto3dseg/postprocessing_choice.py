# SPDX-License-Identifier: Apache-2.0
"""The choice of a post-processing on validation cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import get_args

import numpy as np
import torch

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.postprocessing import PostProcessing, Step

__all__ = ["CANDIDATES", "RULE", "choose_postprocessing"]


CANDIDATES: tuple[PostProcessing, ...] = tuple(
    PostProcessing(steps) for count in range(len(get_args(Step)) + 1) for steps in combinations(get_args(Step), count)
)
"""Every combination of the steps, the shorter ones first."""

RULE = "the simplest that lies no more than a standard error of the difference below the best"
"""How :func:`choose_postprocessing` chooses."""


def choose_postprocessing(
    cases: Iterable[tuple[torch.Tensor, torch.Tensor]],
    num_classes: int,
    candidates: Sequence[PostProcessing] = CANDIDATES,
) -> tuple[PostProcessing, dict[str, float]]:
    """Chooses by the Dice of validation cases: the simplest that is not worse than the best by more than chance.

    It is the rule of one standard error (Breiman et al., Classification and Regression Trees, 1984, section 3.4.3), the
    error being that of the difference between the two over the same cases: a step that helps one case of few is not
    taken for one that helps.

    Args:
        cases: predicted and true class numbers of each validation case, shape (X, Y, Z).
        num_classes: number of classes, the background included.
        candidates: what is chosen from, the simplest first; the first of those whose mean lies at most one standard
            error of the difference below the best mean, for which a case without a class that is there or predicted
            counts as right. A single case has no standard error: then the first of all.

    Returns:
        The chosen one, and the mean over the cases of the mean Dice over their classes for each; a class that is
        neither predicted nor there is left out, as everywhere. Where nothing can be measured, the first is chosen.

    Raises:
        ConfigurationError: without candidates.
    """
    if not candidates:
        raise ConfigurationError("postprocessing: there are no candidates to choose from")
    values: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    for prediction, truth in cases:
        for candidate in candidates:
            values[candidate.name].append(_mean_dice(candidate(prediction), truth, num_classes))
    scores = {name: _mean(found) for name, found in values.items()}
    counted = {name: np.nan_to_num(found, nan=1.0) for name, found in values.items()}
    best = max(candidates, key=lambda c: counted[c.name].sum())
    chosen = next(c for c in candidates if c is best or _as_good(counted[c.name], counted[best.name]))
    return chosen, scores


def _as_good(values: np.ndarray, best: np.ndarray) -> bool:
    """Whether the mean difference of the same cases is at most its standard error."""
    behind = best - values
    if len(behind) < 2:
        return True
    error = behind.std(ddof=1) / np.sqrt(len(behind))
    return bool(behind.mean() <= error * (1 + 1e-9))  # equal, but for rounding, where one case alone differs


def _mean_dice(prediction: torch.Tensor, truth: torch.Tensor, num_classes: int) -> float:
    values = []
    for k in range(1, num_classes):
        p, t = prediction == k, truth == k
        if total := int(p.sum()) + int(t.sum()):
            values.append(2 * int((p & t).sum()) / total)
    return _mean(values)


def _mean(values: Sequence[float]) -> float:
    defined = [v for v in values if not np.isnan(v)]
    return float(np.mean(defined)) if defined else float("nan")
