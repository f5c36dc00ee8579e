# SPDX-License-Identifier: Apache-2.0
"""Student and teachers on several processes."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from monai_dino.distributed.process_group import Distribution, check_distribution
from monai_dino.errors import ConfigurationError
from monai_dino.networks import DinoEncoder
from monai_dino.networks.encoders.packing import gather_for_packing
from monai_dino.ssl.projected import ProjectedEncoder
from monai_dino.ssl.self_distillation import SelfDistillation
from monai_dino.ssl.student_training import StudentTraining
from monai_dino.ssl.teacher import frozen_parameters

__all__ = ["distribute"]

Network = TypeVar("Network", bound=StudentTraining)


def distribute(network: Network, distribution: Distribution) -> Network:
    """Makes the processes of a group train one network; call it before the optimiser is made.

    All processes begin with the values of the first. The names of parameters stay as they are.

    Args:
        network: on its device, the same in each process, in place.
        distribution: ``none``; ``ddp``, by which each process has the whole network, and gradients are averaged;
            ``fsdp``, by which each has a share of what is trained, of its teachers and of the optimiser's state, and
            blocks are gathered when they are computed. What is not trained stays whole, and shared with the teachers.

    Returns:
        The network.

    Raises:
        ConfigurationError: for an unknown name, without a process group, or for a network on a CPU among GPUs.
    """
    check_distribution(distribution)
    if distribution == "none":
        return network
    device = next(network.parameters()).device
    _check_group(distribution, device)
    _take_values_of_first(network)
    if distribution == "fsdp":
        _shard(network, device)
    else:
        # Parameters of the encoder are unused while the heads learn alone. The only buffers are centres, of which each
        # process computes the same.
        wrapper = DistributedDataParallel(
            network.student,
            device_ids=[device] if device.type == "cuda" else None,
            broadcast_buffers=False,
            find_unused_parameters=True,
        )
        network.call_student_through(wrapper)
    return network


def _check_group(distribution: Distribution, device: torch.device) -> None:
    if not (dist.is_available() and dist.is_initialized()):
        raise ConfigurationError(f"distribution: {distribution} wants a process group; call join_process_group first")
    if dist.get_backend() == "nccl" and device.type != "cuda":
        raise ConfigurationError(
            f"distribution: the network is on the {device.type}, but the processes have GPUs; move it to the device "
            f"that join_process_group gave"
        )


def _take_values_of_first(network: nn.Module) -> None:
    # DDP would do so for the student alone, and its teacher would stay behind; FSDP would not.
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        value = tensor.detach().contiguous()
        dist.broadcast(value, src=0)
        tensor.detach().copy_(value)


def _shard(network: StudentTraining, device: torch.device) -> None:
    """Shards what is trained and its copies.

    What of the student is not trained (with LoRA all but some adapters) is cheaper kept whole once, and shared, than
    gathered for every pass of student and teacher.
    """
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    frozen = set(frozen_parameters(network.student))

    def shard(*modules: nn.Module | None) -> None:
        for module in modules:
            if module is not None:
                # Also the outermost: a teacher has no backward pass after which it would be sharded again.
                fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=frozen)

    def shard_encoder(encoder: DinoEncoder) -> None:
        shard(*encoder.blocks, encoder)
        gather_for_packing(encoder)
        register_fsdp_forward_method(encoder, "intermediate")

    alone: list[nn.Module | None] = []
    for part in _parts(network):
        encoder = part if isinstance(part, DinoEncoder) else getattr(part, "encoder", None)
        if isinstance(encoder, DinoEncoder):
            shard_encoder(encoder)
        if part is network.student:
            shard(part)
        elif isinstance(encoder, DinoEncoder):
            # Heads of a teacher apart, so that its encoder may be run by itself, to look at its features.
            heads: list[nn.Module | None] = []
            if isinstance(part, ProjectedEncoder):
                heads = [part.dino_head, part.ibot_head]
            shard(*heads)
            alone += [encoder, *heads]
    network.register_forward_pre_hook(lambda *_: _forget_passes(alone))


def _parts(network: StudentTraining) -> list[nn.Module]:
    """Student, teachers and losses, and the Gram teacher to come, since what is sharded cannot be copied."""
    parts = list(network.children())
    if isinstance(network, SelfDistillation) and network.settings.gram_weight:
        network.spare_gram_teachers.append(network.gram_copy())
        parts += network.spare_gram_teachers
    return parts


def _forget_passes(modules: Iterable[nn.Module | None]) -> None:
    """Clears what FSDP remembers of forward passes until a backward pass, which teachers never have."""
    for module in modules:
        # Not there before torch 2.13; before its first pass a module has nothing to forget, and says so by this error.
        with contextlib.suppress(AttributeError):
            module.reset_iter_state()  # type: ignore[union-attr,operator]
