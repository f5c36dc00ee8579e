# SPDX-License-Identifier: Apache-2.0
"""Which parameters of an encoder are trained: none, all, the biases, or low-rank adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.networks.adaptation.lora import add_adapters
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.encoders.merging import has_adapters

__all__ = ["AdaptationMode", "ParameterCount", "adapt", "count_parameters"]

AdaptationMode = Literal["frozen", "full", "bitfit", "lora"]


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of trainable and of all parameters; prints as one line."""

    trainable: int
    total: int

    def __str__(self) -> str:
        share = 100 * self.trainable / max(self.total, 1)
        return f"{self.trainable:,} of {self.total:,} parameters are trained ({share:.2f} %)"


def count_parameters(module: nn.Module) -> ParameterCount:
    """Counts the parameters of a module.

    Args:
        module: any module.

    Returns:
        The trainable and the total number.
    """
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return ParameterCount(sum(n for n, trained in sizes if trained), sum(n for n, _ in sizes))


def adapt(
    encoder: DinoEncoder,
    mode: AdaptationMode = "frozen",
    *,
    rank: int | None = None,
    alpha: float | None = None,
    dropout: float | None = None,
    targets: Sequence[str] | None = None,
    freeze_blocks: int = 0,
) -> ParameterCount:
    """Sets which parameters of an encoder are trained, in place.

    Args:
        encoder: the encoder.
        mode: ``frozen`` trains nothing; ``full`` everything; ``bitfit`` the bias terms alone (Ben Zaken et al.,
            BitFit, 2022); ``lora`` low-rank adapters alone.
        rank: rank of the adapters; ``None`` takes 8. Medical segmentation was best at a rank of 3 to 10 (LoRA paper,
            Table 3).
        alpha: scale of the adapters; ``None`` takes twice the rank, so that the rank does not change their scale.
        dropout: dropout of the adapters' inputs; ``None`` for none.
        targets: linear layers that get adapters; ``None`` takes ``q_proj`` and ``v_proj``, the query and value
            projections.
        freeze_blocks: this many first blocks, and the embeddings before them, are kept as they are.

    Returns:
        The encoder's trainable and total number of parameters, which prints as one line.

    Raises:
        ConfigurationError: for an unknown mode, more frozen blocks than blocks, a rank below 1, LoRA targets that match
            nothing, options of LoRA in another mode, or LoRA on an encoder that has adapters already.
    """
    if mode not in get_args(AdaptationMode):
        raise ConfigurationError(
            f"adaptation: unknown mode {mode!r}, expected one of {', '.join(get_args(AdaptationMode))}"
        )
    if not 0 <= freeze_blocks <= encoder.num_blocks:
        raise ConfigurationError(
            f"adaptation: freeze_blocks={freeze_blocks}, but the encoder has {encoder.num_blocks} blocks"
        )
    options: dict[str, Any] = {"rank": rank, "alpha": alpha, "dropout": dropout, "targets": targets}
    given = {name: value for name, value in options.items() if value is not None}
    if mode == "lora":
        _add_lora(encoder, freeze_blocks, **given)
    elif given:
        raise ConfigurationError(
            f"adaptation: {', '.join(given)} given in mode {mode!r}, but only 'lora' has them; leave them out or set "
            f"mode to 'lora'"
        )
    _set_trainable(encoder, mode, freeze_blocks)
    encoder.frozen = mode == "frozen"
    encoder.adaptation = {"mode": mode, "freeze_blocks": freeze_blocks} | given
    encoder.train(encoder.training)  # new adapters included
    return count_parameters(encoder)


def _set_trainable(encoder: DinoEncoder, mode: AdaptationMode, freeze_blocks: int) -> None:
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(
            mode == "full" or (mode == "bitfit" and name.endswith(".bias")) or (mode == "lora" and ".lora_" in name)
        )
    if freeze_blocks:
        embeddings = encoder.backbone.get_submodule("embeddings")
        for module in (embeddings, *encoder.blocks[:freeze_blocks]):
            module.requires_grad_(False)
    # The mask token is used in pretraining only; there it is switched on again.
    encoder.backbone.get_parameter("embeddings.mask_token").requires_grad_(False)


def _add_lora(
    encoder: DinoEncoder,
    freeze_blocks: int,
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    targets: Sequence[str] = ("q_proj", "v_proj"),
) -> None:
    if has_adapters(encoder):
        raise ConfigurationError(
            "adaptation: the encoder has LoRA adapters already; leave `adaptation` out to keep them as they are, or "
            "merge them with save_pretrained and adapt what that wrote"
        )
    if rank < 1:
        raise ConfigurationError(f"adaptation: the rank of LoRA must be at least 1, got {rank}")
    if freeze_blocks == encoder.num_blocks:
        raise ConfigurationError("adaptation: every block is frozen, so LoRA would train nothing")
    add_adapters(encoder, rank, 2.0 * rank if alpha is None else alpha, dropout, targets, freeze_blocks)
