# SPDX-License-Identifier: Apache-2.0
"""The loss of self-distillation between views of an image."""

from __future__ import annotations

import torch

from monai_dino.errors import ConfigurationError
from monai_dino.losses.centering import CenteredLoss

__all__ = ["DinoLoss"]


class DinoLoss(CenteredLoss):
    """Cross-entropy of the student's views with the teacher's, over all pairs of different views (DINO, equation 3).

    The mean over pairs is what the original reaches by swapping the teacher's views and weighting its global and local
    terms by the number of their pairs. It is a mean over the batch of this process; where processes hold equally many
    images, the mean of their losses is that of one process with all of them.

    Args:
        out_dim: prototypes K.
        student_temp: temperature of the student, above 0.
        centering: ``"sinkhorn_knopp"`` (DINOv2, DINOv3) or ``"softmax"`` (DINO).
        center_momentum: share of the old centre in the new one, in [0, 1]; for ``"softmax"``.
        sinkhorn_iterations: turns, at least 1; for ``"sinkhorn_knopp"``.

    Attributes:
        center: mean of the teacher's logits, moving, float32, shape (1, K); with ``"softmax"`` only.

    Raises:
        ConfigurationError: when a setting is out of its range.
    """

    def forward(self, student: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss.

        Args:
            student: logits of V views, shape (V, B, K); the first T are the views that the teacher saw.
            targets: what :meth:`targets` returned for the teacher's T views, shape (T, B, K).

        Returns:
            The loss, a float32 scalar.

        Raises:
            ConfigurationError: when the shapes do not fit, or there is no pair of different views.
        """
        seen, unseen = self.parts(student, targets)
        return seen + unseen

    def parts(
        self, student: torch.Tensor, targets: torch.Tensor, same_view: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss in two shares, whose sum it is.

        Args:
            student: as for :meth:`forward`.
            targets: as for :meth:`forward`.
            same_view: whether a view is also compared with itself, for a teacher that does not follow the student.

        Returns:
            The share of the student's views that the teacher saw as well (global crops), and that of the others (local
            crops; 0 where there are none); float32 scalars.

        Raises:
            ConfigurationError: as for :meth:`forward`.
        """
        self._check(student, targets)
        seen, views, batch = len(targets), len(student), student.shape[1]
        with torch.autocast(student.device.type, enabled=False):
            logits, targets = student.float() / self.student_temp, targets.float()
            # -sum t log softmax(s) = sum(t) logsumexp(s) - sum t s, so no pair of views needs a matrix of its own
            mass = targets.sum(dim=-1)
            agreement = torch.einsum("tbk,vbk->tv", targets, logits)
            entropy = torch.einsum("tb,vb->tv", mass, logits.logsumexp(dim=-1)) - agreement
            if not same_view:
                entropy = entropy * ~torch.eye(seen, views, dtype=torch.bool, device=student.device)
            by_view = entropy.sum(dim=0) / (batch * seen * (views - 1 + same_view))
            return by_view[:seen].sum(), by_view[seen:].sum()

    def _check(self, student: torch.Tensor, targets: torch.Tensor) -> None:
        for name, x, wanted in (("student", student, "(V, B, K)"), ("targets", targets, "(T, B, K)")):
            if x.ndim != 3:
                raise ConfigurationError(f"{name}: wanted the shape {wanted}, found {tuple(x.shape)}")
            self._require_prototypes(name, x)
        if student.shape[1] != targets.shape[1] or not student.shape[1]:
            raise ConfigurationError(
                f"student, targets: wanted the same number of images, at least 1, found {student.shape[1]} and "
                f"{targets.shape[1]}"
            )
        if not 1 <= len(targets) <= len(student) or len(student) < 2:
            raise ConfigurationError(
                f"student, targets: wanted at least two views, the first of them the teacher's, found {len(student)} "
                f"and {len(targets)}"
            )
