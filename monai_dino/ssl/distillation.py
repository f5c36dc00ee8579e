# SPDX-License-Identifier: Apache-2.0
"""Distillation: a small student learns from views what a large teacher, which stays as it is, says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder
from monai_dino.networks.heads import ProjectionHead
from monai_dino.ssl.frozen_teacher import FrozenTeacher, Standardized
from monai_dino.ssl.presets import ssl_settings
from monai_dino.ssl.projected import ProjectedEncoder
from monai_dino.ssl.student_training import StudentTraining, entropies
from monai_dino.ssl.teacher import copy_of, frozen_parameters, update_average
from monai_dino.ssl.views import Views

__all__ = ["Distillation"]

# Standard deviation of the logits that a teacher without a head gets. At a temperature of 0.07 the targets are then
# neither even nor a single prototype (entropy 4.2 of ln 512 = 6.2 on breast ultrasound). With cosines, whose deviation
# is 0.05 in 384 dimensions, it is 6.0 and the loss hardly fell; 0.15, 0.3 and 0.5 could not be told apart.
_LOGIT_SPREAD = 0.3
_TEMPERATURE = 0.07


class Distillation(StudentTraining):
    """A frozen teacher of any family, width and patch size, into a student (DINO-MX, section 2.2.2).

    The student's heads learn to say of every view what the teacher says of the global ones, by the cross-entropy of
    self-distillation. As DINOv2 distils its models (Oquab et al. 2023, section 5), the student has no drop path unless
    it is asked for, nothing is hidden from it, and an average of it, the ``shadow``, is kept and exported. Patches
    are compared where ``patch_mask`` says: a random choice of them, at the cost of pretraining.

    Since nothing is learnt from the shadow, it need not lag behind for the training's sake: its momentum stays what the
    preset begins with, unless ``momentum_end`` is given, and is n / (n + 9) at most in step n, so that a short run's
    shadow holds nothing of the initial weights.

    Unlike in self-distillation, student and teacher are compared on the same view too: the teacher does not follow the
    student, so that there is nothing to be had by agreeing, and of the same view the teacher says most (Beyer et al.
    2022, a good teacher is patient and consistent).

    Public teachers come without heads. Then K fixed random directions in the teacher's standardised features take the
    place of its prototypes: the student has to match the features along all of them. Features of images for prototypes
    would have to be gathered first and kept, and a regression of the features would be a second form beside that of
    teachers with a head. Without standardisation the targets would be nearly even, and teach nothing.

    Args:
        encoder: the student's encoder.
        teacher: the teacher; taken over and frozen in place.
        preset: as for :class:`SelfDistillation`; ``gram_weight`` has to be 0. The temperature of a teacher without a
            head is 0.07 from the first step, for which its logits are spread, whatever the preset's.
        batch_size: images of a step over all processes, from which values left open are derived.
        pretrained: whether the student starts from weights, so that its new heads are warmed up first, and it then
            learns at a tenth of their rate.
        teacher_head: head for class tokens that the teacher came with, of ``prototypes`` prototypes; taken over and
            frozen in place. Its patches are read along random directions all the same, at the preset's temperature.
        **changes: fields of :class:`SslSettings` in place of the preset's; ``None`` keeps the preset's.

    Attributes:
        student: what is trained.
        shadow: its average.
        frozen_teacher: the teacher, which checkpoints leave out.
        settings: every value, resolved.

    Raises:
        ConfigurationError: for settings that cannot work, an encoder of which nothing is trained, or a teacher or head
            that does not fit.
    """

    unsaved: ClassVar[tuple[str, ...]] = ("frozen_teacher.",)
    shadow_updates: torch.Tensor

    def __init__(
        self,
        encoder: DinoEncoder,
        teacher: DinoEncoder,
        preset: str = "dinov2",
        batch_size: int = 64,
        pretrained: bool = False,
        teacher_head: ProjectionHead | None = None,
        **changes: Any,
    ) -> None:
        given = {name: value for name, value in changes.items() if value is not None}
        chosen = _defaults(preset, given, teacher_head is not None) | given
        settings = ssl_settings(preset, **chosen).resolved(batch_size, pretrained)
        _check(encoder, teacher, settings.gram_weight)
        super().__init__(encoder, settings, masks=False)
        self.shadow = copy_of(self.student, frozen_parameters(self.student))
        self.register_buffer("shadow_updates", torch.zeros(()))
        self.frozen_teacher = FrozenTeacher(teacher, settings.prototypes, teacher_head)
        self.cls_features = Standardized(teacher.embed_dim)
        self.patch_features = Standardized(teacher.embed_dim)

    @property
    def average(self) -> ProjectedEncoder:
        """The shadow."""
        return self.shadow

    def forward(
        self, batch: Mapping[str, Any], teacher_temp: float, encoder_frozen: bool = False
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch of views.

        Args:
            batch: as for :class:`SelfDistillation`.
            teacher_temp: temperature of the teacher's softmax.
            encoder_frozen: whether the heads alone are trained.

        Returns:
            The loss, and for the instruments what :class:`SelfDistillation` gives; ``features`` are the student's
            class tokens, since the teacher's cannot collapse.

        Raises:
            ConfigurationError: when the batch does not fit the encoder or the settings.
        """
        s = self.settings
        views = Views.of(batch, self.student.encoder, masked=s.ibot_weight > 0)
        with torch.no_grad():
            taught = self.frozen_teacher(views.global_views, self.student.encoder.patch_size)
            targets = self.dino_loss.targets(views.by_view(self._cls_logits(taught.cls)), teacher_temp)
        made = self.run_student(views.global_views, views.local_views, views.patch_mask, False, encoder_frozen)
        losses: dict[str, torch.Tensor] = {}
        logits = views.by_view(made.cls_logits)
        losses["dino_global"], losses["dino_local"] = self.dino_loss.parts(logits, targets, same_view=True)
        if views.patch_mask is not None:
            features = self.patch_features(taught.patches[views.patch_mask])
            patch_targets = self.ibot_loss.targets(self._along_directions(features), teacher_temp)
            losses["ibot"] = self.ibot_loss(made.patch_logits, patch_targets, views.patch_mask)
        if s.koleo_weight:
            losses["koleo"] = torch.stack([self.koleo_loss(cls) for cls in views.by_view(made.cls)]).sum()
        total, instruments = self._weighted(losses)
        return total, instruments | entropies(targets) | {"features": made.cls.detach()}

    def update_teacher(self, momentum: float) -> None:
        """Moves the shadow towards the student.

        Args:
            momentum: largest weight of the shadow as it is, from 0 to 1.
        """
        self.shadow_updates += 1
        updates = float(self.shadow_updates)
        update_average(self.student, self.shadow, min(momentum, updates / (updates + 9)))

    def _cls_logits(self, cls: torch.Tensor) -> torch.Tensor:
        if self.frozen_teacher.head is not None:
            logits: torch.Tensor = self.frozen_teacher.head(cls)
            return logits
        return self._along_directions(self.cls_features(cls))

    def _along_directions(self, features: torch.Tensor) -> torch.Tensor:
        # Rows of one length, so that the targets of all images are alike in their sharpness.
        scale, directions = _LOGIT_SPREAD * math.sqrt(features.shape[1]), self.frozen_teacher.directions
        with torch.autocast(features.device.type, enabled=False):  # a low temperature would blow up what it rounds off
            return scale * F.normalize(features.to(directions.dtype), dim=1) @ directions.T


def _defaults(preset: str, given: Mapping[str, Any], with_head: bool) -> dict[str, Any]:
    """What distillation has in place of the preset's values, which are of self-distillation."""
    own = {"drop_path": 0.0, "momentum_end": given.get("momentum", ssl_settings(preset).momentum)}
    if not with_head:
        temperature = given.get("teacher_temp", _TEMPERATURE)
        own |= {"teacher_temp": temperature, "teacher_temp_start": temperature}
    return own


def _check(encoder: DinoEncoder, teacher: DinoEncoder, gram_weight: float) -> None:
    if gram_weight:
        raise ConfigurationError(
            f"gram_weight={gram_weight}: there is no Gram anchoring in distillation, whose teacher does not drift; set "
            f"it to 0"
        )
    if teacher is encoder:
        raise ConfigurationError("teacher: is the student itself; give it an encoder of its own")
    if teacher.in_channels != encoder.in_channels:
        raise ConfigurationError(
            f"teacher: takes images of {teacher.in_channels} channels, the student of {encoder.in_channels}; load its "
            f"weights with in_channels={encoder.in_channels}"
        )
