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

__all__ = ["CANDIDATES", "choose_postprocessing"]


CANDIDATES: tuple[PostProcessing, ...] = tuple(
    PostProcessing(steps) for count in range(len(get_args(Step)) + 1) for steps in combinations(get_args(Step), count)
)
"""Every combination of the steps, the shorter ones first."""


def choose_postprocessing(
    cases: Iterable[tuple[torch.Tensor, torch.Tensor]],
    num_classes: int,
    candidates: Sequence[PostProcessing] = CANDIDATES,
) -> tuple[PostProcessing, dict[str, float]]:
    """Chooses by the mean Dice of validation cases.

    Args:
        cases: predicted and true class numbers of each validation case, shape (X, Y, Z).
        num_classes: number of classes, the background included.
        candidates: what is chosen from; of those that are equally good, the first.

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
    best = max(candidates, key=lambda c: -np.inf if np.isnan(scores[c.name]) else scores[c.name])
    return best, scores


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
