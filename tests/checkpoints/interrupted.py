# SPDX-License-Identifier: Apache-2.0
"""Writers that are killed at some moment, or find the disk full."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from writers import check_newest, failure, forked, names, status, write

from monai_dino.checkpoints import write_checkpoint

KILLS = 15
CRASHED = 9


def kill_at_random_moments(root: Path) -> None:
    write(root, 0)
    began = time.perf_counter()
    write(root, 0)
    took = time.perf_counter() - began
    for seed in range(KILLS):
        newest = check_newest(root)
        child = forked(lambda first=newest: [write(root, step) for step in range(first, first + 10_000)])  # type: ignore[misc]
        time.sleep(random.Random(seed).uniform(0.5, 6) * took)  # noqa: S311
        os.kill(child, signal.SIGKILL)
        assert status(child) == -signal.SIGKILL
        assert check_newest(root) >= newest, f"seed {seed}"
        print(f"seed {seed}: {newest} -> {check_newest(root)} {sorted(names(root))}", file=sys.stderr)
    write(root, check_newest(root) + 1)
    assert not [name for name in names(root) if name.startswith(".")], names(root)
    assert len(names(root)) <= 2, names(root)


def crash_before(call: int, work: Callable[[], None]) -> None:
    """Ends the process without any cleaning before its n-th call that changes a file system."""
    left = call

    def crashing(name: str) -> None:
        original = getattr(os, name)

        def counted(*args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(CRASHED)
            return original(*args, **kwargs)

        setattr(os, name, counted)

    for name in ("rename", "mkdir", "fsync", "open", "unlink", "rmdir"):
        crashing(name)
    work()


def crash_at_every_call(root: Path, step: int, keep: int) -> None:
    for call in range(200):
        folder = root / str(call)
        write(folder, 5)
        child = forked(lambda: crash_before(call, lambda: write(folder, step, keep)))  # noqa: B023
        ended = status(child)
        assert ended in (0, CRASHED)
        assert check_newest(folder) in ((step,) if ended == 0 else (5, step)), f"call {call}"
        write(folder, 7, keep=1)
        assert names(folder) == {"step_00000007"}, f"call {call}: {names(folder)}"
        if ended == 0:
            assert call > 15, call
            return
    raise AssertionError("it never ended")


def crash_while_writing_another(root: Path) -> None:
    crash_at_every_call(root, step=6, keep=1)


def crash_while_replacing_the_only_one(root: Path) -> None:
    crash_at_every_call(root, step=5, keep=2)


def fill_disk(root: Path) -> None:
    write(root, 1)

    def too_much() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        message = failure(lambda: write_checkpoint(root, 2, {"big": torch.zeros(10_000)}, {}))
        assert all(part in message for part in (str(root), "step 2", "File too large", "free space", "ckpt_dir")), (
            message
        )

    assert status(forked(too_much)) == 0
    assert names(root) == {"step_00000001"}
    assert check_newest(root) == 1
