# SPDX-License-Identifier: Apache-2.0
"""All tensors from which a training goes on, under names of their own."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from monai_dino.ssl import StudentTraining

__all__ = ["prepare_state", "training_tensors"]

_OPTIMIZER = "optimizer."
_GRAM = "gram_teacher."


def training_tensors(network: StudentTraining, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Gathers the tensors of a training; they are its own, so that loading into them restores it.

    Args:
        network: student, teachers and losses.
        optimizer: over the student's parameters.

    Returns:
        Name -> tensor: what the network holds, but for what it calls ``unsaved``, each shared parameter once, and
        ``optimizer.PARAMETER.FIELD``.
    """
    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, parameter in network.named_parameters(remove_duplicate=False):
        if id(parameter) not in seen and not name.startswith(network.unsaved):
            tensors[name] = parameter
            seen.add(id(parameter))
    tensors |= {name: buffer for name, buffer in network.named_buffers() if not name.startswith(network.unsaved)}
    for name, parameter in network.student.named_parameters():
        for field, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{_OPTIMIZER}{name}.{field}"] = value
    return tensors


def prepare_state(network: StudentTraining, optimizer: torch.optim.Optimizer, saved: Collection[str]) -> None:
    """Makes what a fresh training does not have yet, so that a saved one can be loaded into it.

    Args:
        network: of a fresh training; gets a Gram teacher where the saved one has one.
        optimizer: gets the state of each parameter that the saved one had updated.
        saved: names in the checkpoint.
    """
    if any(name.startswith(_GRAM) for name in saved):
        network.refresh_gram_teacher()
    for name, parameter in network.student.named_parameters():
        if parameter.requires_grad and f"{_OPTIMIZER}{name}.exp_avg" in saved:
            optimizer.state[parameter] = _fresh(parameter)


def _fresh(parameter: nn.Parameter) -> dict[str, torch.Tensor]:
    """The state that AdamW gives a parameter at its first update."""
    return {
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
        "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
    }
