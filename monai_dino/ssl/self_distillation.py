# SPDX-License-Identifier: Apache-2.0
"""Self-distillation: a student learns from views what its own average says of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from monai_dino.losses import GramLoss
from monai_dino.networks import DinoEncoder
from monai_dino.ssl.presets import ssl_settings
from monai_dino.ssl.projected import ProjectedEncoder
from monai_dino.ssl.student_training import StudentTraining, entropies
from monai_dino.ssl.teacher import copy_of, copy_parameters, frozen_parameters, update_average
from monai_dino.ssl.views import Views

__all__ = ["SelfDistillation"]


class SelfDistillation(StudentTraining):
    """Student, teacher and losses of DINO, DINOv2 and DINOv3.

    Any encoder goes with any preset. What of it is trained is what :func:`monai_dino.networks.adapt` left trainable;
    the teacher averages that, and shares the rest with the student.

    Args:
        encoder: the student's encoder; the teacher starts as its copy.
        preset: ``dino``, ``dinov2``, ``dinov3`` or ``small``; see :data:`monai_dino.ssl.PRESETS`.
        batch_size: images of a step over all processes, from which values left open are derived.
        pretrained: whether the encoder starts from weights, so that its new heads are warmed up first, and it then
            learns at a tenth of their rate.
        **changes: fields of :class:`SslSettings` in place of the preset's; ``None`` keeps the preset's.

    Attributes:
        student: what is trained.
        teacher: its average.
        settings: every value, resolved.
        gram_teacher: encoder whose patch similarities are kept; ``None`` while Gram anchoring is off.

    Raises:
        ConfigurationError: for settings that cannot work, or an encoder of which nothing is trained.
    """

    def __init__(
        self,
        encoder: DinoEncoder,
        preset: str = "dinov2",
        batch_size: int = 64,
        pretrained: bool = False,
        **changes: Any,
    ) -> None:
        settings = ssl_settings(preset, **changes).resolved(batch_size, pretrained)
        super().__init__(encoder, settings, masks=settings.ibot_weight > 0)
        self.teacher = copy_of(self.student, frozen_parameters(self.student))
        self.gram_teacher: DinoEncoder | None = None
        self.gram_loss = GramLoss()
        # Where parameters are sharded nothing can be copied any more, so one is made before; in a list, which nn.Module
        # does not register.
        self.spare_gram_teachers: list[DinoEncoder] = []

    @property
    def average(self) -> ProjectedEncoder:
        """The teacher."""
        return self.teacher

    def train(self, mode: bool = True) -> SelfDistillation:
        """Sets the training mode of the student and the losses; teachers are never in it."""
        super().train(mode)
        if self.gram_teacher is not None:
            self.gram_teacher.eval()
        return self

    def forward(
        self, batch: Mapping[str, Any], teacher_temp: float, encoder_frozen: bool = False
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch of views.

        Args:
            batch: ``image_global`` (B, G, C, H, W), ``image_local`` (B, L, C, h, w) and ``patch_mask`` (B, G, N), as
                :class:`monai_dino.transforms.BatchedViews` makes them; the last two may be missing.
            teacher_temp: temperature of the teacher's softmax.
            encoder_frozen: whether the heads alone are trained.

        Returns:
            The loss, and for the instruments: each loss before its weight (``dino_global``, ``dino_local``, ``ibot``,
            ``koleo``, ``gram``), ``target_entropy`` of the teacher's targets and ``usage_entropy`` of their mean over
            the batch, in nats, and ``features``, the teacher's class tokens, shape (G * B, D).

        Raises:
            ConfigurationError: when the batch does not fit the encoder or the settings.
        """
        s = self.settings
        views = Views.of(batch, self.student.encoder, masked=s.ibot_weight > 0)
        with torch.no_grad():
            taught = self.teacher(views.global_views, patch_mask=views.patch_mask)
            targets = self.dino_loss.targets(views.by_view(taught.cls_logits), teacher_temp)
        made = self.run_student(views.global_views, views.local_views, views.patch_mask, True, encoder_frozen)
        losses: dict[str, torch.Tensor] = {}
        losses["dino_global"], losses["dino_local"] = self.dino_loss.parts(views.by_view(made.cls_logits), targets)
        if views.patch_mask is not None:
            patch_targets = self.ibot_loss.targets(taught.patch_logits, teacher_temp)
            losses["ibot"] = self.ibot_loss(made.patch_logits, patch_targets, views.patch_mask)
        if s.koleo_weight:
            losses["koleo"] = torch.stack([self.koleo_loss(cls) for cls in views.by_view(made.cls)]).sum()
        if self.gram_teacher is not None:
            losses["gram"] = self._gram(views.global_views, made.patches)
        total, instruments = self._weighted(losses)
        return total, instruments | entropies(targets) | {"features": taught.cls.detach()}

    def update_teacher(self, momentum: float) -> None:
        """Moves the teacher towards the student.

        Args:
            momentum: weight of the teacher as it is, from 0 to 1.
        """
        update_average(self.student, self.teacher, momentum)

    def refresh_gram_teacher(self) -> None:
        """Keeps the teacher's encoder of this moment as the Gram teacher."""
        if self.gram_teacher is None:
            self.gram_teacher = self.spare_gram_teachers.pop() if self.spare_gram_teachers else self.gram_copy()
        copy_parameters(self.teacher.encoder, self.gram_teacher)

    def gram_copy(self) -> DinoEncoder:
        """A copy of the teacher's encoder, which shares what the student does not train."""
        return copy_of(self.teacher.encoder, frozen_parameters(self.student))

    def _gram(self, global_views: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            assert self.gram_teacher is not None  # noqa: S101 - narrows the type
            kept = self.gram_teacher(global_views).patches
        loss: torch.Tensor = self.gram_loss(patches, kept)
        return loss
