# SPDX-License-Identifier: Apache-2.0
"""Running a test's function on two processes that form a gloo group."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing

Tensors = dict[str, torch.Tensor]


def on_two_processes(function: Callable[[], Tensors], folder: Path) -> list[Tensors]:
    """What a module-level function returns on each of two processes, in the order of their ranks.

    Test files are not importable by name, so each process loads the function's file by its path.
    """
    arguments = (inspect.getfile(function), function.__name__, folder)
    multiprocessing.spawn(_process, arguments, nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def _process(rank: int, file: str, name: str, folder: Path) -> None:
    from monai_dino.distributed import leave_process_group

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    spec = importlib.util.spec_from_file_location("of_two_processes", file)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.save(getattr(module, name)(), folder / f"{rank}.pt")
    leave_process_group()
