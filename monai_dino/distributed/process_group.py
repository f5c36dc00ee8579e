# SPDX-License-Identifier: Apache-2.0
"""Leaving a process group without an abort at the end."""

from __future__ import annotations

import time

import torch.distributed as dist

__all__ = ["leave_process_group"]

GRACE = 0.5


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
