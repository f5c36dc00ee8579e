# SPDX-License-Identifier: Apache-2.0
"""A teacher that is not trained, and what its features say without a trained head."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.losses.collectives import global_mean
from monai_dino.networks import DinoEncoder, EncoderOutput
from monai_dino.networks.heads import ProjectionHead

__all__ = ["FrozenTeacher", "Standardized", "require_teacher_weights"]

_SMALLEST = 1e-6


def require_teacher_weights(weights: str | Path | None) -> None:
    """Checks that a teacher does not have random weights; the bundle calls this when it starts.

    Args:
        weights: where the teacher's weights come from; ``None`` for random ones.

    Raises:
        ConfigurationError: when they are random.
    """
    if weights is None:
        raise ConfigurationError(
            "teacher_weights: none are given, so the student would learn the features of a random teacher; name a "
            "Hugging Face folder or hub id (such as facebook/dinov2-large) or a checkpoint as `teacher_weights`"
        )


class FrozenTeacher(nn.Module):
    """An encoder that never changes, with the directions along which its features are read.

    Args:
        encoder: the teacher; taken over and frozen in place.
        prototypes: number K of directions.
        head: its head for class tokens, if it came with one; frozen in place.

    Attributes:
        directions: K random vectors of length 1, shape (K, D), the same in every run.

    Raises:
        ConfigurationError: for a head of another width, or another number of prototypes.
    """

    directions: torch.Tensor

    def __init__(self, encoder: DinoEncoder, prototypes: int, head: ProjectionHead | None = None) -> None:
        super().__init__()
        if head is not None and (head.in_dim, head.out_dim) != (encoder.embed_dim, prototypes):
            raise ConfigurationError(
                f"teacher_head: takes features of {head.in_dim} and has {head.out_dim} prototypes, but the teacher's "
                f"features have {encoder.embed_dim}, and prototypes={prototypes}"
            )
        self.encoder = encoder
        self.head = head
        rng = torch.Generator().manual_seed(0)
        directions = F.normalize(torch.randn(prototypes, encoder.embed_dim, generator=rng), dim=1)
        self.register_buffer("directions", directions)
        encoder.frozen = True
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenTeacher:
        """Stays in evaluation mode."""
        super().train(False)
        return self

    def forward(self, views: torch.Tensor, patch_size: int) -> EncoderOutput:
        """Encodes views with the grid of patches that the student has of them.

        Where the teacher's patches have another size than the student's, the views are resized so that both have the
        same grid: patch tokens then belong to the same places, and are those that the teacher makes itself. Tokens
        resampled from another grid would be blends of neighbours, which it never makes. It also costs the teacher no
        more tokens than the student.

        Args:
            views: in [0, 1], shape (G * B, C, H, W).
            patch_size: of the student; H and W are multiples of it.

        Returns:
            The tokens.
        """
        if patch_size != self.encoder.patch_size:
            size = [n // patch_size * self.encoder.patch_size for n in views.shape[-2:]]
            views = F.interpolate(views, size, mode="bilinear", antialias=True)
        out: EncoderOutput = self.encoder(views)
        return out


class Standardized(nn.Module):
    """Features less their mean, over their spread: both over all that was seen so far, on all processes.

    Tokens of vision transformers lie about a large common mean (of those of DINOv2-small on breast ultrasound, scaled
    to length 1, it has a length of 0.93), beside which what tells images apart would be lost in a softmax.

    Args:
        dim: width D of the features.

    Attributes:
        count: batches seen, each of which counts alike.
        mean: of each feature, shape (D,).
        variance: of each feature, shape (D,).
    """

    count: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Standardises features; in training mode they are counted in before.

        Args:
            x: shape (N, D), of any float type.

        Returns:
            The same in the type of the buffers; 0 for a feature that never changes.
        """
        x = x.to(self.mean.dtype)
        if self.training:
            self._count_in(x)
        return (x - self.mean) * self.variance.clamp(min=_SMALLEST).rsqrt()

    def _count_in(self, x: torch.Tensor) -> None:
        mean = global_mean(x)
        square = global_mean((x - (0 if mean is None else mean)).square())
        if mean is None or square is None:
            return
        # In place, and about the mean: less than its square would be left of a small variance beside a large mean.
        self.count += 1
        change = mean - self.mean
        self.mean += change / self.count
        self.variance += (square + change.square() * (1 - 1 / self.count) - self.variance) / self.count
