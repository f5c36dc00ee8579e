# SPDX-License-Identifier: Apache-2.0
"""Work that the processes of a run do together: it succeeds on all of them or fails on all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist

from monai_dino.errors import CheckpointError

__all__ = ["Processes"]

T = TypeVar("T")


class Processes:
    """The processes of the default group, or the only one where there is none.

    Attributes:
        rank: which of them this is.
        count: how many there are.
    """

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.count = dist.get_world_size() if together else 1

    def each(self, work: Callable[[], T]) -> list[T]:
        """Does something on every process and waits for all of them.

        Args:
            work: what to do.

        Returns:
            What it gave on each.

        Raises:
            CheckpointError: where it failed on another process; where it failed on this one, its own error.
        """
        result: T | None = None
        own: Exception | None = None
        try:
            result = work()
        except Exception as error:  # the others wait for this process, whatever happened to it
            own = error
        outcomes = self._gather((result, None if own is None else f"{type(own).__name__}: {own}"))
        if own is not None:
            raise own
        failed = [f"process {rank}: {reason}" for rank, (_, reason) in enumerate(outcomes) if reason is not None]
        if failed:
            raise CheckpointError("; ".join(failed))
        return [result for result, _ in outcomes]  # type: ignore[misc]

    def first(self, work: Callable[[], T]) -> T:
        """Does something on the first process, for which the others wait.

        Args:
            work: what to do.

        Returns:
            What it gave, on every process.
        """
        return self.each(lambda: work() if self.rank == 0 else None)[0]  # type: ignore[return-value]

    def _gather(self, value: T) -> list[T]:
        if self.count == 1:
            return [value]
        values: list[T | None] = [None] * self.count
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]
