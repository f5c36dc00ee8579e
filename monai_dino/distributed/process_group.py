# SPDX-License-Identifier: Apache-2.0
"""Joining the processes that torchrun started, and leaving them without an abort at the end."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Literal, get_args

import torch
import torch.distributed as dist

from monai_dino.errors import ConfigurationError

__all__ = ["Distribution", "check_distribution", "join_process_group", "leave_process_group"]

Distribution = Literal["none", "ddp", "fsdp"]

GRACE = 0.5
_TIMEOUT = timedelta(hours=1)  # others wait while the first measures labelled cases; NCCL alone would give 10 minutes
_LAUNCH = "torchrun --nproc_per_node=N -m monai.bundle run ..."
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def check_distribution(distribution: str) -> None:
    """Checks the name of a distribution.

    Args:
        distribution: the name.

    Raises:
        ConfigurationError: for an unknown one.
    """
    if distribution not in get_args(Distribution):
        raise ConfigurationError(
            f"distribution: unknown {distribution!r}, expected one of {', '.join(get_args(Distribution))}"
        )


def join_process_group(distribution: Distribution) -> torch.device:
    """Makes this process one of those that torchrun started, of which each has a device of its own.

    They speak through NCCL on GPUs, where process ``LOCAL_RANK`` of a machine has the GPU of that number, and through
    gloo on CPUs. A group that was joined before is kept. What one waits for from another may take an hour.

    Args:
        distribution: ``none`` for a single process, which joins nothing; ``ddp`` or ``fsdp`` for several.

    Returns:
        The device on which this process works.

    Raises:
        ConfigurationError: for an unknown name; for ``ddp`` or ``fsdp`` without torchrun, or on a machine with fewer
            GPUs than processes; for ``none`` in one of several processes, which would overwrite each other's files.
    """
    check_distribution(distribution)
    if distribution == "none":
        if _number("WORLD_SIZE", 1) > 1:
            raise ConfigurationError(
                f"distribution: none, but torchrun started {os.environ['WORLD_SIZE']} processes, each of which would "
                f"train alone and overwrite the others' files; set distribution to ddp or fsdp, or start without "
                f"torchrun"
            )
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    missing = [name for name in _VARIABLES if name not in os.environ]
    if missing and not dist.is_initialized():
        raise ConfigurationError(
            f"distribution: {distribution} wants processes started by torchrun, but {', '.join(missing)} of its "
            f"environment are missing; start with {_LAUNCH}, or set distribution to none"
        )
    device = _own_device()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    return device


def _own_device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local, count = _number("LOCAL_RANK", 0), torch.cuda.device_count()
    if local >= count:
        raise ConfigurationError(
            f"distribution: process {local} of this machine has no GPU, there are {count}; start with "
            f"--nproc_per_node={count}"
        )
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    return device


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise ConfigurationError(f"distribution: the environment says {variable}={text!r}; start with {_LAUNCH}")
    return int(text)


def leave_process_group() -> None:
    """Ends a process's part in distributed training; does nothing where there is none.

    Gloo's threads need Python's lock once more to let go of the tensors that were gathered last. Where
    DistributedDataParallel keeps the group, they live until the interpreter ends; one that asks for the lock then
    aborts the process (SIGABRT in one of ten trainings of two processes, torch 2.13). They have half a second for it.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return
    if dist.get_backend() == "gloo":
        time.sleep(GRACE)
    dist.destroy_process_group()
