# SPDX-License-Identifier: Apache-2.0
"""The DINO encoder: one vision transformer for images in [0, 1] with any number of channels and any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.architectures import build_config
from monai_dino.networks.encoders.channels import PerChannel
from monai_dino.networks.encoders.export import export_backbone
from monai_dino.networks.encoders.families import FAMILY_LAYOUTS
from monai_dino.networks.encoders.loading import load_backbone, resolve_architecture
from monai_dino.networks.encoders.padding import pad_to_multiple
from monai_dino.networks.encoders.positions import resample_positions
from monai_dino.networks.encoders.source import INPUT_RECORD
from monai_dino.networks.encoders.weights import read_weights

__all__ = ["DinoEncoder", "EncoderOutput"]


# Fields of a transformers configuration that say nothing about the architecture, or that the encoder sets itself.
_BOOKKEEPING = {
    "architectures",
    "dtype",
    "num_channels",
    "out_features",
    "out_indices",
    "stage_names",
    "transformers_version",
    INPUT_RECORD,
}


class EncoderOutput(NamedTuple):
    """Tokens after the final norm.

    Attributes:
        cls: class token, shape (B, D).
        registers: register tokens, shape (B, R, D); R is 0 where the architecture has none.
        patches: patch tokens in row-major order, shape (B, h * w, D).
        grid: rows and columns of patches, (h, w).
    """

    cls: torch.Tensor
    registers: torch.Tensor
    patches: torch.Tensor
    grid: tuple[int, int]


class DinoEncoder(nn.Module):
    """A DINO, DINOv2 or DINOv3 vision transformer on medical images.

    Images are float in [0, 1]. The normalisation that the weights were trained with is folded into the patch embedding,
    and so are the three colour channels, so that ``DinoEncoder(in_channels=1, weights=w)(x)`` equals the original
    network on ``normalize(x.repeat(1, 3, 1, 1))``. Positions are resampled to the image's size as the code that trained
    the weights does it. Images whose size is not a multiple of the patch are padded at the bottom and right by
    replication.

    Args:
        arch: a name of :data:`ARCHITECTURES` or a mapping of transformers configuration fields. May be left out where
            ``weights`` state their architecture. An architecture alone never touches the network connection.
        in_channels: channels of the images.
        weights: a Hugging Face folder or hub id, an original checkpoint of facebookresearch dino, dinov2 or dinov3, or
            a state dict of this package. ``None`` initialises at random.
        image_mean: mean of the normalisation that the weights expect, per channel or a single value. ``None`` takes
            what the source states, else ImageNet's; 0 with an ``image_std`` of 1 switches folding off.
        image_std: its standard deviation, likewise.

    Attributes:
        backbone: the transformers model.
        embed_dim: width D of the tokens.
        patch_size: side of a patch in pixels.
        num_blocks: number of transformer blocks.
        num_registers: number R of register tokens.
        augment_positions: whether rotary positions are rescaled at random while training, as in DINOv3 pretraining.
        frozen: whether the encoder stays in evaluation mode while the network around it trains.
        adaptation: arguments of :func:`monai_dino.networks.adapt` as it was called last, or as would make
            the adapters that were loaded; empty before.

    Raises:
        ConfigurationError: for an unknown or missing architecture, or a normalisation without weights.
        WeightsError: when the weights cannot be read, or do not fit ``arch``; it names every name or field that does
            not.

    Example:
        >>> encoder = DinoEncoder("dinov2_small", in_channels=1)
        >>> encoder(torch.rand(2, 1, 98, 112)).patches.shape
        torch.Size([2, 56, 384])
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] | None = None,
        in_channels: int = 1,
        weights: str | Path | None = None,
        image_mean: PerChannel | None = None,
        image_std: PerChannel | None = None,
    ) -> None:
        super().__init__()
        from transformers import AutoModel, ViTModel

        if weights is None and not (image_mean is None and image_std is None):
            raise ConfigurationError(
                f"image_mean={image_mean}, image_std={image_std}: are the normalisation that weights expect, and there "
                f"are no weights; leave them out"
            )
        loaded = None if weights is None else read_weights(weights)
        config = build_config(resolve_architecture(arch, loaded), in_channels)
        self.layout = FAMILY_LAYOUTS[config.model_type]
        if config.model_type == "vit":
            self.backbone: nn.Module = ViTModel(config, add_pooling_layer=False, use_mask_token=True)
        else:
            self.backbone = AutoModel.from_config(config)
        self.in_channels = in_channels
        self.embed_dim: int = config.hidden_size
        self.patch_size: int = config.patch_size
        self.num_blocks: int = config.num_hidden_layers
        self.num_registers: int = getattr(config, "num_register_tokens", 0)
        self.augment_positions = False
        self.frozen = False
        self.adaptation: dict[str, Any] = {}
        if loaded is None and config.model_type == "dinov2_with_registers":
            # As in DINOv2's code; transformers' zeros would stay four copies of one register.
            nn.init.normal_(self.backbone.get_parameter("embeddings.register_tokens"), std=1e-6)
        if loaded is not None:
            conv = self.layout.patch_conv
            load_backbone(self.backbone, loaded, conv, in_channels, image_mean, image_std)
        self.train(self.training)  # so that what stays exact while training does so from the start

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks."""
        blocks = self.layout.part(self.backbone, "blocks")
        assert isinstance(blocks, nn.ModuleList)  # noqa: S101 - narrows the type
        return blocks

    @property
    def norm(self) -> nn.Module:
        """The final layer norm."""
        return self.layout.part(self.backbone, "norm")

    @property
    def architecture(self) -> dict[str, Any]:
        """Configuration fields from which an encoder of this architecture can be built."""
        config: Any = self.backbone.config
        fields = {k: v for k, v in config.to_diff_dict().items() if k not in _BOOKKEEPING}
        return {"model_type": config.model_type} | fields

    def train(self, mode: bool = True) -> DinoEncoder:
        """Sets the training mode; see the attributes ``frozen`` and ``augment_positions`` for what stays exact."""
        mode = mode and not self.frozen
        super().train(mode)
        if self.layout.rope:
            self.layout.part(self.backbone, "rope").train(mode and self.augment_positions)
        return self

    def forward(self, x: torch.Tensor, patch_mask: torch.Tensor | None = None) -> EncoderOutput:
        """Encodes images.

        Args:
            x: images in [0, 1], shape (B, in_channels, H, W).
            patch_mask: boolean, shape (B, h * w); True patches are replaced by the mask token.

        Returns:
            The tokens after the final norm.

        Raises:
            ConfigurationError: when the images or the mask have another shape.
        """
        tokens, rope, grid = self.embed(x, patch_mask)
        for block in self.blocks:
            tokens = block(tokens, **rope)
        return self.output(tokens, grid)

    def intermediate(self, x: torch.Tensor, blocks: Sequence[int]) -> list[torch.Tensor]:
        """Maps of patch tokens after chosen blocks.

        Args:
            x: images in [0, 1], shape (B, in_channels, H, W).
            blocks: indices of blocks, in any order; negative ones count from the end.

        Returns:
            For each index the patch tokens after that block and the final norm, shape (B, D, h, w).

        Raises:
            ConfigurationError: for an index that the encoder does not have.
        """
        if any(not -self.num_blocks <= b < self.num_blocks for b in blocks):
            raise ConfigurationError(f"blocks {list(blocks)}: the encoder has blocks 0 to {self.num_blocks - 1}")
        wanted = [b % self.num_blocks for b in blocks]
        tokens, rope, (height, width) = self.embed(x)
        kept = {}
        for index, block in enumerate(self.blocks[: max(wanted) + 1]):
            tokens = block(tokens, **rope)
            if index in wanted:
                patches = self.norm(tokens)[:, 1 + self.num_registers :]
                kept[index] = patches.transpose(1, 2).reshape(-1, self.embed_dim, height, width)
        return [kept[b] for b in wanted]

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes a Hugging Face folder that ``transformers.AutoModel.from_pretrained`` and this class load.

        LoRA adapters are merged in. The folder's ``config.json`` states that the images are not to be normalised.

        Args:
            folder: where to write; made if it is not there.

        Raises:
            ConfigurationError: when adapters alone are in the folder, which transformers would then load on top.
        """
        export_backbone(self.backbone, Path(folder))

    def embed(
        self, x: torch.Tensor, patch_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, dict[str, Any], tuple[int, int]]:
        """Makes the tokens that go into the first block.

        Args:
            x: images in [0, 1], shape (B, in_channels, H, W).
            patch_mask: boolean, shape (B, h * w); True patches are replaced by the mask token.

        Returns:
            Tokens, shape (B, 1 + R + h * w, D); further arguments of the blocks; and the grid of patches, (h, w).

        Raises:
            ConfigurationError: when the images or the mask have another shape.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ConfigurationError(f"encoder: expected images (B, {self.in_channels}, H, W), got {tuple(x.shape)}")
        embeddings: Any = self.backbone.embeddings
        # All of it, since rotary positions take the type of the images.
        x = pad_to_multiple(x, self.patch_size).to(embeddings.cls_token.dtype)
        # In bfloat16 the folded mean, which is as large as what is left without it, would cost digits of every patch.
        with torch.autocast(x.device.type, enabled=False):
            grid = self.layout.part(self.backbone, "patch_conv")(x)
        patches = grid.flatten(2).transpose(1, 2)
        if patch_mask is not None:
            if patch_mask.shape != patches.shape[:2]:
                raise ConfigurationError(
                    f"encoder: expected patch_mask (B, h * w) of {tuple(patches.shape[:2])}, got "
                    f"{tuple(patch_mask.shape)}"
                )
            patches = torch.where(patch_mask.unsqueeze(-1), embeddings.mask_token.reshape(1, 1, -1), patches)
        cls = embeddings.cls_token
        rope: dict[str, Any] = {}
        if self.layout.rope:
            rope["position_embeddings"] = self.layout.part(self.backbone, "rope")(x)
        else:
            offset, antialias = self.layout.position_offset, self.layout.position_antialias
            table = resample_positions(embeddings.position_embeddings, grid, offset, antialias)
            cls, patches = cls + table[:, :1], patches + table[:, 1:]
        parts = [cls.expand(x.shape[0], -1, -1), patches]
        if self.num_registers:
            parts.insert(1, embeddings.register_tokens.expand(x.shape[0], -1, -1))
        return torch.cat(parts, dim=1), rope, (grid.shape[-2], grid.shape[-1])

    def output(self, tokens: torch.Tensor, grid: tuple[int, int]) -> EncoderOutput:
        """Applies the final norm and takes the tokens apart.

        Args:
            tokens: after the last block, shape (B, 1 + R + h * w, D).
            grid: rows and columns of patches.

        Returns:
            The class, register and patch tokens.
        """
        tokens = self.norm(tokens)
        first = 1 + self.num_registers
        return EncoderOutput(tokens[:, 0], tokens[:, 1:first], tokens[:, first:], grid)
