# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters (LoRA) through peft: adding them to an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.encoder import DinoEncoder

__all__ = ["adapted_layers", "add_adapters"]


def adapted_layers(encoder: DinoEncoder, targets: Sequence[str], first_block: int = 0) -> list[str]:
    """The linear layers that adapters go into.

    Args:
        encoder: an encoder without adapters.
        targets: last names of the layers.
        first_block: the first block that has them.

    Returns:
        Their names in ``encoder.backbone``.
    """
    prefix = encoder.layout.blocks
    return [
        f"{prefix}.{index}.{name}"
        for index, block in enumerate(encoder.blocks)
        for name, module in block.named_modules()
        if index >= first_block and isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in targets
    ]


def add_adapters(
    encoder: DinoEncoder,
    rank: int,
    alpha: float,
    dropout: float,
    targets: Sequence[str],
    first_block: int = 0,
) -> None:
    r"""Adds LoRA adapters to linear layers of the encoder's blocks.

    Each layer :math:`W` becomes :math:`W + (\alpha / r) B A` with :math:`A` of ``rank`` rows and :math:`B` zero at the
    start (Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021, section 4.1).

    Args:
        encoder: what gets the adapters, in place.
        rank: rank r of the update.
        alpha: scale of the update.
        dropout: probability with which an input of an adapter is dropped while training.
        targets: last names of the linear layers, such as ``q_proj``.
        first_block: adapters go into this block and those after it.

    Raises:
        ConfigurationError: when a target names no linear layer of the encoder's blocks.
    """
    from peft import LoraConfig

    linear = {name.rsplit(".", 1)[-1] for name, m in encoder.blocks.named_modules() if isinstance(m, nn.Linear)}
    if unknown := [t for t in targets if t not in linear]:
        raise ConfigurationError(
            f"adaptation: LoRA targets {', '.join(unknown)} match no linear layer of this encoder; "
            f"it has {', '.join(sorted(linear))}"
        )
    names = adapted_layers(encoder, targets, first_block)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names, bias="none")
    backbone: Any = encoder.backbone
    backbone.add_adapter(config)
