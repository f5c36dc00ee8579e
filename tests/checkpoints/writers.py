# SPDX-License-Identifier: Apache-2.0
"""Checkpoints whose content is known, and processes that write them and are forked."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from monai_dino.checkpoints import open_checkpoint, verify, write_checkpoint
from monai_dino.errors import CheckpointError


def content(step: int) -> dict[str, Tensor]:
    values = torch.rand(500, 3, generator=torch.Generator().manual_seed(step))
    return {"values": values, "half": values.bfloat16(), "step": torch.tensor(step)}


def write(root: Path, step: int, keep: int = 2) -> None:
    write_checkpoint(root, step, content(step), {"written": step}, keep=keep)


def check_newest(root: Path) -> int:
    checkpoint = open_checkpoint(root)
    assert checkpoint is not None
    loaded = {name: torch.zeros(info.shape, dtype=info.dtype) for name, info in checkpoint.tensors.items()}
    checkpoint.load_into(loaded)
    assert checkpoint.state == {"written": checkpoint.step}
    assert all(loaded[name].equal(value) for name, value in content(checkpoint.step).items())
    for folder in root.glob("step_*"):
        assert not verify(folder), (folder, verify(folder))
    return checkpoint.step


def forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def failure(work: Callable[[], object]) -> str:
    try:
        work()
    except CheckpointError as error:
        return str(error)
    raise AssertionError("nothing was raised")
