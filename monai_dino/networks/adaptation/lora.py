# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters (LoRA) through peft: adding, saving and loading them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.encoders.merging import has_adapters
from monai_dino.networks.encoders.weights import quiet_transformers

__all__ = ["add_adapters", "load_adapters", "save_adapters"]


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
    prefix = encoder.layout.blocks
    names = [
        f"{prefix}.{index}.{name}"
        for index, block in enumerate(encoder.blocks)
        for name, module in block.named_modules()
        if index >= first_block and isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in targets
    ]
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names, bias="none")
    backbone: Any = encoder.backbone
    backbone.add_adapter(config)


def save_adapters(encoder: DinoEncoder, folder: str | Path) -> None:
    """Writes the adapters alone, in peft's own format, as safetensors.

    Args:
        encoder: an encoder adapted with LoRA.
        folder: where to write; made if it is not there.

    Raises:
        ConfigurationError: when the encoder has no adapters.
    """
    if not has_adapters(encoder.backbone):
        raise ConfigurationError("adaptation: the encoder has no LoRA adapters to save")
    backbone: Any = encoder.backbone
    with quiet_transformers():
        backbone.save_pretrained(folder)


def load_adapters(encoder: DinoEncoder, folder: str | Path) -> None:
    """Adds the adapters that :func:`save_adapters` wrote.

    Args:
        encoder: an encoder without adapters, of the architecture they were trained on.
        folder: where they were written.

    Raises:
        WeightsError: when the folder holds no adapters or they do not fit the encoder.
    """
    if not (Path(folder) / "adapter_config.json").is_file():
        raise WeightsError(f"{folder}: no adapters here, there is no adapter_config.json")
    backbone: Any = encoder.backbone
    try:
        backbone.load_adapter(str(folder), is_trainable=True)
    except Exception as error:  # peft and transformers raise many kinds here
        raise WeightsError(f"{folder}: its adapters do not fit the encoder ({error})") from error
