# SPDX-License-Identifier: Apache-2.0
"""What the ways to train a student from views have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.losses import DinoLoss, IBotPatchLoss, KoLeoLoss
from monai_dino.losses.collectives import global_mean
from monai_dino.networks import DinoEncoder
from monai_dino.ssl.projected import ProjectedEncoder, Projections
from monai_dino.ssl.settings import SslSettings

__all__ = ["StudentTraining", "entropies"]

# Of the encoder's configuration, what its own forward pass applies and encode_together does not.
_NOT_APPLIED = ("drop_path_rate", "hidden_dropout_prob")


class StudentTraining(nn.Module):
    """A student with its losses, as :class:`monai_dino.engines.DinoTrainer` trains it.

    Args:
        encoder: the student's encoder.
        settings: every value, resolved.
        masks: whether patches are hidden from the student, whose mask token then has to be trained.

    Attributes:
        student: what is trained.
        settings: every value, resolved.
        unsaved: beginnings of the names of parameters and buffers that no checkpoint needs.

    Raises:
        ConfigurationError: for an encoder of which nothing is trained, or whose configuration has dropout or drop path
            that the training would not apply.
    """

    unsaved: ClassVar[tuple[str, ...]] = ()

    def __init__(self, encoder: DinoEncoder, settings: SslSettings, masks: bool) -> None:
        super().__init__()
        s = self.settings = settings
        _prepare(encoder, masks)
        self.student = ProjectedEncoder(encoder, s)
        self.dino_loss = DinoLoss(s.prototypes, s.student_temp, s.centering, s.center_momentum)
        self.ibot_loss = IBotPatchLoss(s.prototypes, s.student_temp, s.centering, s.center_momentum)
        self.koleo_loss = KoLeoLoss()
        # In a list, since the wrapper of a distributed run holds the student itself, which is registered already.
        self._run_student: list[Callable[..., Projections]] = [self.student]

    @property
    def run_student(self) -> Callable[..., Projections]:
        """What the student is called through: itself, or the wrapper of a distributed run."""
        return self._run_student[0]

    def call_student_through(self, call: Callable[..., Projections]) -> None:
        """Sets what the student is called through.

        Args:
            call: the wrapper, such as ``DistributedDataParallel(network.student)``.
        """
        # No setter of the property: torch would register a module that is assigned, and never call the setter.
        self._run_student[0] = call

    @property
    def average(self) -> ProjectedEncoder:
        """The average of the students so far, whose encoder is what a training is for."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> StudentTraining:
        """Sets the training mode of the student and the losses; their average is never in it."""
        super().train(mode)
        self.average.eval()
        return self

    def forward(
        self, batch: Mapping[str, Any], teacher_temp: float, encoder_frozen: bool = False
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch of views, and what the instruments show."""
        raise NotImplementedError

    def update_teacher(self, momentum: float) -> None:
        """Moves the average towards the student."""
        raise NotImplementedError

    def refresh_gram_teacher(self) -> None:
        """Takes the Gram teacher anew; does nothing where there is none."""

    def _weighted(self, losses: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The sum of the losses by their weights, and each without its weight and gradient."""
        s = self.settings
        weights = {"ibot": s.ibot_weight, "koleo": s.koleo_weight, "gram": s.gram_weight}
        total = torch.stack([weights.get(name, s.dino_weight) * loss for name, loss in losses.items()]).sum()
        return total, {name: loss.detach() for name, loss in losses.items()}


def _prepare(encoder: DinoEncoder, masks: bool) -> None:
    """Switches on what only pretraining uses, and refuses what would train nothing, or otherwise than stated."""
    if encoder.frozen or not any(p.requires_grad for p in encoder.parameters()):
        raise ConfigurationError(
            "adaptation: nothing of the encoder is trained; pretraining wants 'full', 'lora' or 'bitfit'"
        )
    for field in _NOT_APPLIED:
        if value := getattr(encoder.backbone.config, field, 0.0):
            raise ConfigurationError(
                f"encoder: its configuration has {field}={value}, which pretraining does not apply; set it to 0 there, "
                f"and the share of drop path by network_def::drop_path"
            )
    encoder.augment_positions = True
    # Where the first blocks are frozen, a trained mask token would send gradients through all of them.
    if masks and any(p.requires_grad for p in encoder.blocks[0].parameters()):
        encoder.backbone.get_parameter("embeddings.mask_token").requires_grad_(True)
    encoder.train(encoder.training)


def entropies(targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """``target_entropy`` of the targets (T, B, K), ``usage_entropy`` of their mean over all processes, in nats."""
    rows = targets.flatten(0, 1)
    mean = global_mean(rows)
    assert mean is not None  # noqa: S101 - narrows the type
    return {
        "target_entropy": torch.special.entr(rows).sum(dim=1).mean(),
        "usage_entropy": torch.special.entr(mean).sum(),
    }
