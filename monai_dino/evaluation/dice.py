# SPDX-License-Identifier: Apache-2.0
"""The Dice coefficient that networks are selected by."""

from __future__ import annotations

from typing import Any

import torch
from monai.metrics import DiceMetric

__all__ = ["FindingsDiceMetric"]


class FindingsDiceMetric(DiceMetric):
    """MONAI's :class:`~monai.metrics.DiceMetric` of the classes above 0, where a class found in vain counts as 0.

    MONAI leaves out a class that the truth of a case lacks, so that findings in healthy cases would cost nothing. As in
    :func:`~monai_dino.evaluation.segmentation_metrics`, it is left out only where the prediction lacks it too.

    Args:
        num_classes: number of classes, the background included.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(include_background=False, num_classes=num_classes)

    def _compute_tensor(self, y_pred: torch.Tensor, y: Any = None, **kwargs: Any) -> torch.Tensor:
        """Computes the coefficients of a batch.

        Args:
            y_pred: predicted class numbers, shape (B, 1, ...).
            y: true ones, likewise.
            kwargs: none.

        Returns:
            Shape (B, num_classes - 1), NaN where both lack a class.
        """
        dice: torch.Tensor = super()._compute_tensor(y_pred, y, **kwargs)
        found = torch.stack([(y_pred == k).flatten(1).any(dim=1) for k in range(1, int(self.num_classes or 1))], dim=1)
        return torch.where(dice.isnan() & found, torch.zeros_like(dice), dice)
