# SPDX-License-Identifier: Apache-2.0
"""An encoder with its projection heads: what student and teacher both are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from monai_dino.networks import DinoEncoder
from monai_dino.networks.encoders.packing import encode_together
from monai_dino.networks.heads import ProjectionHead
from monai_dino.ssl.settings import SslSettings

__all__ = ["ProjectedEncoder", "Projections"]


class Projections(NamedTuple):
    """What student or teacher make of the views of a batch.

    Attributes:
        cls: class tokens of the global views, shape (G * B, D), view by view.
        patches: their patch tokens, shape (G * B, N, D).
        cls_logits: of the global, then the local views, shape ((G + L) * B, K).
        patch_logits: of the chosen patches, row by row of the mask, shape (M, K); ``None`` without a mask.
    """

    cls: torch.Tensor
    patches: torch.Tensor
    cls_logits: torch.Tensor
    patch_logits: torch.Tensor | None


class ProjectedEncoder(nn.Module):
    """An encoder with a head for class tokens and, where they are used, one for patches.

    Args:
        encoder: the encoder.
        settings: sizes of the heads, whether patches have one of their own, and the share of ``drop_path``.
    """

    def __init__(self, encoder: DinoEncoder, settings: SslSettings) -> None:
        super().__init__()
        self.encoder = encoder
        self.drop_path = settings.drop_path
        self.dino_head = _head(encoder, settings)
        self.ibot_head: ProjectionHead | None = None
        if settings.ibot_weight and settings.separate_ibot_head:
            self.ibot_head = _head(encoder, settings)

    def forward(
        self,
        global_views: torch.Tensor,
        local_views: torch.Tensor | None = None,
        patch_mask: torch.Tensor | None = None,
        hide: bool = False,
        frozen: bool = False,
    ) -> Projections:
        """Encodes and projects views.

        Args:
            global_views: in [0, 1], shape (G * B, C, H, W).
            local_views: shape (L * B, C, h, w), or ``None``.
            patch_mask: patches of the global views whose projections are wanted, bool, shape (G * B, N).
            hide: whether those patches are replaced by the mask token, as for the student.
            frozen: whether no gradient goes into the encoder.

        Returns:
            Tokens and logits.
        """
        groups, masks = [global_views], [patch_mask if hide else None]
        if local_views is not None:
            groups, masks = [*groups, local_views], [*masks, None]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            encoded = encode_together(self.encoder, groups, masks, self.drop_path)
        cls_logits = self.dino_head(torch.cat([out.cls for out in encoded]))
        patches, patch_logits = encoded[0].patches, None
        if patch_mask is not None:
            patch_logits = (self.ibot_head or self.dino_head)(patches[patch_mask])
        return Projections(encoded[0].cls, patches, cls_logits, patch_logits)


def _head(encoder: DinoEncoder, settings: SslSettings) -> ProjectionHead:
    return ProjectionHead(
        encoder.embed_dim,
        settings.prototypes,
        settings.head_hidden_dim,
        settings.head_bottleneck_dim,
        settings.head_layers,
        settings.norm_last_layer,
    )
