# SPDX-License-Identifier: Apache-2.0
"""The loss that anchors the similarities between patches."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from monai_dino.errors import ConfigurationError
from monai_dino.losses.unit_vectors import unit_vectors

__all__ = ["GramLoss"]


class GramLoss(nn.Module):
    """Mean squared difference of the Gram matrices of patch features of length 1 (DINOv3, equation 2).

    Args:
        remove_negatives: whether negative similarities, of both, count as 0.
        per_image: whether patches are compared within their image, or with those of the whole batch.
    """

    def __init__(self, remove_negatives: bool = False, per_image: bool = True) -> None:
        super().__init__()
        self.remove_negatives = remove_negatives
        self.per_image = per_image

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """The loss.

        Args:
            student: patch features, shape (B, N, D), of any float type.
            teacher: those of the Gram teacher, shape (B, N, D'), on the same grid of patches; without gradient.

        Returns:
            The loss, a float32 scalar.

        Raises:
            ConfigurationError: when the shapes do not fit.
        """
        if student.ndim != 3 or teacher.ndim != 3 or student.shape[:2] != teacher.shape[:2] or not student.numel():
            raise ConfigurationError(
                f"student, teacher: wanted the shapes (B, N, D) with the same B and N, at least 1, found "
                f"{tuple(student.shape)} and {tuple(teacher.shape)}"
            )
        with torch.autocast(student.device.type, enabled=False):
            return F.mse_loss(self._similarities(student), self._similarities(teacher.detach()))

    def _similarities(self, patches: torch.Tensor) -> torch.Tensor:
        features = unit_vectors(patches if self.per_image else patches.flatten(0, 1))
        similarities = features @ features.mT
        return similarities.relu() if self.remove_negatives else similarities
