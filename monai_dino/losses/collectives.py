# SPDX-License-Identifier: Apache-2.0
"""Sums and gathers over the processes of a training; each does nothing where there is one process."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_nn
from torch.nn import functional as F

__all__ = ["all_reduce_max", "all_reduce_sum", "gather", "global_mean", "several_processes"]


def several_processes() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def all_reduce_sum(x: torch.Tensor) -> torch.Tensor:
    """The sum over processes, without gradient; the argument is left as it is.

    Args:
        x: of the same shape on every process.

    Returns:
        The sum, of that shape.
    """
    return _reduce(x, dist.ReduceOp.SUM)


def all_reduce_max(x: torch.Tensor) -> torch.Tensor:
    """The elementwise maximum over processes, without gradient; the argument is left as it is.

    Args:
        x: of the same shape on every process.

    Returns:
        The maximum, of that shape.
    """
    return _reduce(x, dist.ReduceOp.MAX)


def _reduce(x: torch.Tensor, operation: dist.ReduceOp.RedOpType) -> torch.Tensor:
    if not several_processes():
        return x
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, operation)
    return total


def global_mean(rows: torch.Tensor) -> torch.Tensor | None:
    """The mean of the rows of all processes, each row counting alike, without gradient.

    Args:
        rows: shape (B, K), float32; B may differ between processes and be 0.

    Returns:
        The mean, shape (K,), or ``None`` where no process has a row.
    """
    sums = torch.cat([rows.sum(dim=0), rows.new_tensor([rows.shape[0]])])
    sums = all_reduce_sum(sums)
    return sums[:-1] / sums[-1] if sums[-1] > 0 else None


def gather(rows: torch.Tensor) -> torch.Tensor:
    """The rows of all processes, in the order of their ranks, with gradient.

    The backward pass sums the gradients of all processes. So where every process takes the same loss of the joint rows
    and parameter gradients are averaged afterwards, as DistributedDataParallel and FSDP do, the average is the gradient
    of that loss.

    Args:
        rows: shape (B, D); B may differ between processes.

    Returns:
        Shape (the sum of all B, D).
    """
    if not several_processes():
        return rows
    count = torch.tensor([rows.shape[0]], device=rows.device)
    counts = [torch.zeros_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    sizes = [int(size) for size in counts]
    padded = F.pad(rows, (0, 0, 0, max(sizes) - rows.shape[0])).contiguous()
    parts = dist_nn.all_gather(padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
