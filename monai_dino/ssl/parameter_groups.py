# SPDX-License-Identifier: Apache-2.0
"""Which learning rate and weight decay each parameter gets, and the optimiser that has them."""

from __future__ import annotations

import re
from typing import Any

import torch

from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder
from monai_dino.ssl.projected import ProjectedEncoder
from monai_dino.ssl.schedules import StepValues
from monai_dino.ssl.settings import SslSettings

__all__ = ["build_optimizer", "parameter_groups", "set_step_values"]

_PATCH_EMBEDDING = "patch_embeddings"
_UNDECAYED = ("bias", "lambda1")


def parameter_groups(network: ProjectedEncoder, settings: SslSettings) -> list[dict[str, Any]]:
    """Groups of the parameters that are trained, alike in their factors.

    The factors are those of DINOv2 (``utils/param_groups.py``): the learning rate falls by ``layer_decay`` from block
    to block towards the input, that of the patch embedding by ``patch_embed_rate`` further; biases, norms and layer
    scales are not decayed; heads have the full rate, and their prototypes a schedule of their own.

    Args:
        network: the student.
        settings: with ``layer_decay`` and ``patch_embed_rate``.

    Returns:
        Groups for an optimiser, each with ``rate_factor``, ``decay_factor``, and whether it is of the ``encoder`` or
        the ``last_layer`` of a head.

    Raises:
        ConfigurationError: when nothing is trained.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        of_encoder = name.startswith("encoder.")
        alike = {
            "rate_factor": _encoder_rate(network.encoder, name, settings) if of_encoder else 1.0,
            "decay_factor": 0.0 if name.endswith(_UNDECAYED) or "norm" in name else 1.0,
            "encoder": of_encoder,
            "last_layer": ".last_layer." in name,
        }
        groups.setdefault(tuple(alike.values()), {"params": [], **alike})["params"].append(parameter)
    if not groups:
        raise ConfigurationError("adaptation: no parameter of the network is trained")
    return list(groups.values())


def _encoder_rate(encoder: DinoEncoder, name: str, settings: SslSettings) -> float:
    found = re.search(rf"\.{re.escape(encoder.layout.blocks)}\.(\d+)\.", name)
    outside = 0 if ".embeddings." in name else encoder.num_blocks + 1
    layer = int(found[1]) + 1 if found else outside
    rate = float(settings.layer_decay ** (encoder.num_blocks + 1 - layer))
    return rate * settings.patch_embed_rate if _PATCH_EMBEDDING in name else rate


def build_optimizer(network: ProjectedEncoder, settings: SslSettings) -> torch.optim.AdamW:
    """AdamW over the groups of :func:`parameter_groups`; :func:`set_step_values` sets its rates.

    Args:
        network: the student, on its device.
        settings: as there, with ``beta2``.

    Returns:
        The optimiser, fused, which reads and writes each parameter once a step.
    """
    return torch.optim.AdamW(parameter_groups(network, settings), lr=0.0, betas=(0.9, settings.beta2), fused=True)


def set_step_values(optimizer: torch.optim.Optimizer, values: StepValues) -> None:
    """Sets learning rates and weight decays for a step.

    Args:
        optimizer: of :func:`build_optimizer`.
        values: of the step.
    """
    for group in optimizer.param_groups:
        rate = values.encoder_rate if group["encoder"] else values.learning_rate
        rate = values.last_layer_rate if group["last_layer"] else rate
        group["lr"] = rate * group["rate_factor"]
        group["weight_decay"] = values.weight_decay * group["decay_factor"]
