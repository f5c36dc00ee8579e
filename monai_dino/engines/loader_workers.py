# SPDX-License-Identifier: Apache-2.0
"""Processes that load data, and the signal by which a job is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import DataLoader

__all__ = ["keep_workers_on_sigterm"]


def keep_workers_on_sigterm(loader: DataLoader[Any]) -> None:
    """Lets the workers of a loader live on when a whole group of processes is sent SIGTERM.

    torchrun and Slurm signal every process of a job. The trainer ends its step and saves; without its workers, which
    would die at once, it would fail before. SIGTERM from the trainer itself ends them as ever, and so does its end.

    Args:
        loader: the loader, whose processes have not started yet.
    """
    if loader.num_workers and hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows, which have no torchrun jobs
        loader.worker_init_fn = partial(_begin, os.getpid(), loader.worker_init_fn)


def _begin(parent: int, initialise: Callable[[int], None] | None, worker_id: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # in threads that are started later too
    threading.Thread(target=_end_when_told, args=(parent,), daemon=True).start()
    if initialise is not None:
        initialise(worker_id)


def _end_when_told(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
