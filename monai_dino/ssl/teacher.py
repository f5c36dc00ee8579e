# SPDX-License-Identifier: Apache-2.0
"""The teacher: an average of the students so far, which shares what the student does not train."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TypeVar

import torch
from torch import nn
from torch.distributed.tensor import DTensor

__all__ = ["averaged_parameters", "copy_of", "copy_parameters", "frozen_parameters", "update_average"]

Network = TypeVar("Network", bound=nn.Module)


def copy_of(network: Network, shared: Collection[nn.Parameter] = ()) -> Network:
    """A copy that takes no gradient and stays in evaluation mode.

    Args:
        network: what is copied.
        shared: parameters that are not copied, but are the network's and the copy's: with those that a student adapted
            by LoRA does not train, its teacher costs the adapters alone.

    Returns:
        The copy.
    """
    # They go into the memo of deepcopy, which then takes them for copied already.
    made = copy.deepcopy(network, {id(p): p for p in shared})
    return made.requires_grad_(False).eval()


def frozen_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that a network does not train."""
    return [p for p in network.parameters() if not p.requires_grad]


def averaged_parameters(student: nn.Module, teacher: nn.Module) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
    """Pairs of parameters that are averaged: all that the two do not share.

    Args:
        student: the network that is trained.
        teacher: its copy.

    Returns:
        Name -> parameter of the student and of the teacher.
    """
    theirs = dict(teacher.named_parameters())
    return {name: (own, theirs[name]) for name, own in student.named_parameters() if own is not theirs[name]}


@torch.no_grad()
def update_average(student: nn.Module, teacher: nn.Module, momentum: float) -> None:
    """Moves the teacher towards the student: teacher = momentum * teacher + (1 - momentum) * student.

    Args:
        student: the network that is trained.
        teacher: its copy, changed in place.
        momentum: from 0 to 1.
    """
    pairs = [pair for pair in averaged_parameters(student, teacher).values() if pair[0].requires_grad]
    if pairs:
        own, theirs = ([_local(p) for p in side] for side in zip(*pairs, strict=True))
        torch._foreach_lerp_(theirs, own, 1 - momentum)


@torch.no_grad()
def copy_parameters(network: nn.Module, copy: nn.Module) -> None:
    """Gives a copy of a network the values that the network has now.

    Args:
        network: whose values are taken.
        copy: changed in place; sharded as the network is.
    """
    for own, theirs in averaged_parameters(network, copy).values():
        _local(theirs).copy_(_local(own))


def _local(parameter: nn.Parameter) -> torch.Tensor:
    """What of a parameter is in this process: all of it, or its shard."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter
