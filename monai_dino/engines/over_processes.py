# SPDX-License-Identifier: Apache-2.0
"""What is said of a step, and done to its gradients, with all processes in view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from monai_dino.losses.collectives import all_reduce_sum, several_processes

__all__ = ["clip_gradients", "mean_over_processes"]


def mean_over_processes(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Means of numbers over the processes, so that all of them report the same, and stop on the same.

    Args:
        values: name -> tensor; the same names on every process.

    Returns:
        The same with each scalar replaced by its mean; other tensors stay this process's own.
    """
    if not several_processes():
        return dict(values)
    scalars = {name: value.detach() for name, value in values.items() if not value.ndim}
    means = all_reduce_sum(torch.stack(list(scalars.values()))) / dist.get_world_size()
    return {**values, **dict(zip(scalars, means.unbind(), strict=True))}


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float) -> torch.Tensor | None:
    """Scales the gradients of parameters down until their joint norm is no larger than a given one.

    Args:
        parameters: plain or sharded ones; the same on every process.
        largest: the largest norm.

    Returns:
        The norm before, of the gradients as a whole where they are sharded; ``None`` where there are none.
    """
    trained = [p for p in parameters if p.grad is not None]
    if not trained:
        return None
    norm = get_total_norm([p.grad for p in trained if p.grad is not None])
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    clip_grads_with_norm_(trained, largest, norm)
    return norm
