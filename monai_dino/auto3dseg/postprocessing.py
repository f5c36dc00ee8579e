# SPDX-License-Identifier: Apache-2.0
"""Morphological post-processing of masks, and its choice on validation cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
import torch
from monai.transforms import KeepLargestConnectedComponent

from monai_dino.errors import ConfigurationError

__all__ = ["CANDIDATES", "PostProcessing", "choose_postprocessing"]

Step = Literal["opening", "closing", "largest"]


class PostProcessing:
    """Opening, closing and the largest component of each class.

    The first two are what the baselines had in "Assessing the Performance of the DINOv2 Self-supervised Learning Vision
    Transformer Model for the Segmentation of the Left Atrium from MRI Images" (section 2.3).

    The element is a voxel and those that share a face with it, within the slice for a picture. What opening or the
    choice of the largest component takes away becomes background; closing fills background only, in the order of the
    classes.

    Args:
        steps: some of ``opening``, ``closing`` and ``largest``, done in this order; none leaves a mask as it is.

    Raises:
        ConfigurationError: for other steps.
    """

    def __init__(self, steps: Sequence[str] = ()) -> None:
        if unknown := [step for step in steps if step not in get_args(Step)]:
            raise ConfigurationError(f"postprocessing: unknown {unknown}, expected some of {', '.join(get_args(Step))}")
        self.steps = tuple(step for step in get_args(Step) if step in steps)

    @property
    def name(self) -> str:
        """The steps, such as ``opening+largest``; ``none`` without any."""
        return "+".join(self.steps) or "none"

    def __call__(self, labels: torch.Tensor) -> torch.Tensor:
        """Processes a mask.

        Args:
            labels: class numbers, 0 the background, shape (X, Y, Z); it is left as it is.

        Returns:
            Class numbers, of the same shape and type.
        """
        result = labels.clone()
        classes = [int(k) for k in torch.unique(labels) if k > 0]
        for step in self.steps:
            if step == "largest":
                if classes:
                    keep = KeepLargestConnectedComponent(applied_labels=classes, is_onehot=False, independent=True)
                    result = torch.as_tensor(keep(result[None])[0]).to(labels.dtype)
                continue
            for k in classes:
                mask = (result == k).numpy()
                changed = torch.from_numpy(_morphology(mask, step))
                if step == "opening":
                    result[torch.from_numpy(mask) & ~changed] = 0
                else:
                    result[changed & (result == 0)] = k
        return result


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


def _morphology(mask: np.ndarray, step: str) -> np.ndarray:
    """Opens or closes a mask within the box around it; the padding keeps the border of the volume from mattering."""
    from scipy import ndimage

    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found or found[0] is None:
        return mask
    element = ndimage.generate_binary_structure(mask.ndim, 1)
    for axis, size in enumerate(mask.shape):
        if size == 1:
            element = np.take(element, [1], axis=axis)
    pad = [(0, 0) if size == 1 else (2, 2) for size in mask.shape]
    operation: Any = ndimage.binary_opening if step == "opening" else ndimage.binary_closing
    changed = operation(np.pad(mask[found[0]], pad), element)
    result = np.zeros_like(mask)
    result[found[0]] = changed[tuple(slice(a, size - b) for (a, b), size in zip(pad, changed.shape, strict=True))]
    return result


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
