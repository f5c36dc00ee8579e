# SPDX-License-Identifier: Apache-2.0
"""Classification of images, and of volumes as bags of slices, with a DINO encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from monai.networks.nets import MILModel
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.nets.build import adapted_encoder, resize_to

__all__ = ["DinoClassifier"]

Pooling = Literal["cls", "cls+patches"]
SlicePooling = Literal["mean", "max", "att", "att_trans"]


class _SliceFeatures(nn.Module):
    """One feature vector per image: the class token, with or without the mean of the patch tokens."""

    def __init__(self, encoder: DinoEncoder, pooling: Pooling, image_size: int | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.with_patches = pooling == "cls+patches"
        self.image_size = image_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.encoder(resize_to(x, self.image_size))
        return torch.cat([out.cls, out.patches.mean(dim=1)], dim=1) if self.with_patches else out.cls


class DinoClassifier(nn.Module):
    """A DINO encoder and a linear head, for images and for volumes as bags of slices.

    The features of the slices are pooled by MONAI's :class:`~monai.networks.nets.MILModel`; an image is a bag of one.

    Args:
        encoder: architecture name, transformers configuration fields, a :class:`DinoEncoder`, or ``None`` for what
            ``weights`` state.
        in_channels: channels of the images.
        out_channels: classes.
        pooling: ``cls`` takes the class token, ``cls+patches`` the mean of the patch tokens beside it.
        slice_pooling: ``mean`` of the slices' logits, their ``max``, attention ``att`` (Ilse et al., 2018), or
            ``att_trans``, a transformer over the slices before it.
        adaptation: what of the encoder is trained, as in :class:`DinoSegmenter`.
        image_size: side in pixels of the square that images are resized to; ``None`` keeps their own resolution.
        weights: what :class:`DinoEncoder` takes.

    Raises:
        ConfigurationError: for an unknown pooling, an image size that is not a multiple of the patch, or what the
            encoder and its adaptation refuse.

    Example:
        >>> net = DinoClassifier("dinov2_small", out_channels=3, image_size=112)
        >>> net(torch.rand(2, 1, 60, 44)).shape, net(torch.rand(2, 1, 60, 44, 5)).shape
        (torch.Size([2, 3]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        encoder: str | Mapping[str, Any] | DinoEncoder | None = None,
        in_channels: int = 1,
        out_channels: int = 2,
        pooling: Pooling = "cls+patches",
        slice_pooling: SlicePooling = "mean",
        adaptation: str | Mapping[str, Any] | None = None,
        image_size: int | None = None,
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("pooling", pooling, get_args(Pooling)),
            ("slice_pooling", slice_pooling, get_args(SlicePooling)),
        ):
            if value not in known:
                raise ConfigurationError(f"{name}: unknown value {value!r}, expected one of {', '.join(known)}")
        built = adapted_encoder(encoder, in_channels, weights, adaptation, image_size)
        features = _SliceFeatures(built, pooling, image_size)
        width = built.embed_dim * (2 if pooling == "cls+patches" else 1)
        self.bag = MILModel(out_channels, mil_mode=slice_pooling, backbone=features, backbone_num_features=width)

    @property
    def encoder(self) -> DinoEncoder:
        """The encoder, which lives inside the bag of slices."""
        found: DinoEncoder = self.bag.net.encoder
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classifies images or volumes.

        Args:
            x: images in [0, 1], shape (B, in_channels, H, W), or volumes, shape (B, in_channels, H, W, slices).

        Returns:
            Logits, shape (B, out_channels).

        Raises:
            ConfigurationError: for anything else than images or volumes.
        """
        if x.ndim not in (4, 5):
            raise ConfigurationError(
                f"classifier: expected images (B, {self.encoder.in_channels}, H, W) or volumes "
                f"(B, {self.encoder.in_channels}, H, W, slices), got {tuple(x.shape)}"
            )
        slices = x.unsqueeze(1) if x.ndim == 4 else x.permute(0, 4, 1, 2, 3)
        logits: torch.Tensor = self.bag(slices)
        return logits
