# SPDX-License-Identifier: Apache-2.0
"""The loss of self-distillation on masked patches."""

from __future__ import annotations

import torch

from monai_dino.errors import ConfigurationError
from monai_dino.losses.centering import CenteredLoss

__all__ = ["IBotPatchLoss"]


class IBotPatchLoss(CenteredLoss):
    """Cross-entropy of the student's masked patches with the same patches seen by the teacher (iBOT, equation 2).

    Each image counts alike, however many of its patches are masked; images without a masked patch count as 0. It is a
    mean over the images of this process; where processes hold equally many images, the mean of their losses is that of
    one process with all of them, whatever their masks.

    Args:
        out_dim: prototypes K.
        student_temp: temperature of the student, above 0.
        centering: ``"sinkhorn_knopp"`` (DINOv2, DINOv3) or ``"softmax"`` (iBOT).
        center_momentum: share of the old centre in the new one, in [0, 1]; for ``"softmax"``.
        sinkhorn_iterations: turns, at least 1; for ``"sinkhorn_knopp"``.

    Attributes:
        center: mean of the teacher's logits, moving, float32, shape (1, K); with ``"softmax"`` only.

    Raises:
        ConfigurationError: when a setting is out of its range.
    """

    def forward(self, student: torch.Tensor, targets: torch.Tensor, patch_mask: torch.Tensor) -> torch.Tensor:
        """The loss.

        Args:
            student: logits of the masked patches, ``tokens[patch_mask]``, shape (M, K).
            targets: what :meth:`targets` returned for the teacher's patches at the same places, shape (M, K).
            patch_mask: True where a patch is masked, bool, shape (n, N): n images of N patches, M places in all.

        Returns:
            The loss, a float32 scalar; 0, with a gradient of 0, where nothing is masked.

        Raises:
            ConfigurationError: when the shapes do not fit.
        """
        if patch_mask.ndim != 2 or patch_mask.dtype != torch.bool or not len(patch_mask):
            raise ConfigurationError(
                f"patch_mask: wanted a bool tensor of the shape (n, N) with n at least 1, found "
                f"{patch_mask.dtype} {tuple(patch_mask.shape)}"
            )
        masked = patch_mask.sum(dim=1, keepdim=True).clamp(min=1)
        weight = (1 / masked.float()).expand(patch_mask.shape)[patch_mask]
        for name, x in (("student", student), ("targets", targets)):
            if x.shape != (len(weight), self.out_dim):
                raise ConfigurationError(
                    f"{name}: wanted the shape {(len(weight), self.out_dim)} (masked patches in patch_mask, out_dim), "
                    f"found {tuple(x.shape)}"
                )
        with torch.autocast(student.device.type, enabled=False):
            logits, targets = student.float() / self.student_temp, targets.float()
            agreement = (targets * logits).sum(dim=-1)  # einsum's gradient is a matrix product, many times as slow
            entropy = targets.sum(dim=-1) * logits.logsumexp(dim=-1) - agreement
            return (entropy * weight).sum() / len(patch_mask)
