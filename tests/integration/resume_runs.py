# SPDX-License-Identifier: Apache-2.0
"""Trainings that are killed and taken up again, each compared with one that was not; prints what differs as JSON.

Run as a program, with one thread from the start, since its trainings are forked.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from pretraining import tiny_store, tiny_trainer

from monai_dino.checkpoints import find_checkpoints
from monai_dino.data import SliceStore
from monai_dino.handlers import RunCheckpointHandler
from monai_dino.ssl.training_state import training_tensors

CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "full, 2 workers": {"workers": 2},
    "two frozen blocks": {"adaptation": {"mode": "full", "freeze_blocks": 1}},
    "lora": {"adaptation": {"mode": "lora", "rank": 2, "dropout": 0.1}},
    "bitfit": {"adaptation": {"mode": "bitfit"}, "workers": 2},
    "softmax centring, heads first": {"preset": "dino", "head_warmup": 0.3, "ibot_weight": 0.5},
    "gram": {"preset": "dinov3", "gram_start": 0.3, "gram_refresh": 2},
    "fp16": {"precision": "fp16"},
    "bf16": {"precision": "bf16"},
}


def _run(store: SliceStore, folder: Path, on_step: Callable[[Engine], None] | None, **options: Any) -> Any:
    checkpoints = RunCheckpointHandler(folder, interval=3)
    trainer = tiny_trainer(store, handlers=lambda _: [checkpoints], **options)
    checkpoints.take_up(trainer)
    if on_step is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED, on_step)
    trainer.run()
    return trainer


def _kill_at(step: int, number: int) -> Callable[[Engine], None]:
    def act(engine: Engine) -> None:
        if engine.state.iteration == step:
            os.kill(os.getpid(), number)

    return act


def _killed(store: SliceStore, folder: Path, step: int, number: int, **options: Any) -> int:
    """Runs a training in a process of its own that is killed at a step; returns the exit code."""
    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(store, folder, _kill_at(step, number)), kwargs=options
    )
    process.start()
    process.join()
    return int(process.exitcode or 0)


def _group_terminated(store: SliceStore, folder: Path, step: int, **options: Any) -> int:
    """As :func:`_killed` with SIGTERM, which all processes of the training get from outside, as torchrun sends it."""
    context = multiprocessing.get_context("fork")
    reached, signalled = context.Event(), context.Event()

    def tell(engine: Engine) -> None:
        if engine.state.iteration == step:
            reached.set()
            signalled.wait(60)

    def train() -> None:
        os.setpgid(0, 0)
        _run(store, folder, tell, **options)

    process = context.Process(target=train)
    process.start()
    if not reached.wait(120):
        process.kill()
    else:
        os.killpg(process.pid or 0, signal.SIGTERM)
    signalled.set()
    process.join()
    return int(process.exitcode or 0)


def _together(store: SliceStore, folder: Path, step: int | None, meeting: Path) -> list[int]:
    """Runs a training on two processes, which are killed at a step; without one, the first writes what it came to."""

    def train(rank: int) -> None:
        where = f"file://{meeting}"
        dist.init_process_group("gloo", where, timedelta(seconds=120), world_size=2, rank=rank)
        kill = None if step is None else _kill_at(step, signal.SIGKILL)
        trainer = _run(store, folder, kill, distribution="ddp", workers=2)
        if rank == 0:
            torch.save(training_tensors(trainer.network, trainer.optimizer), folder / "tensors.pt")
        dist.destroy_process_group()

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=train, args=(rank,)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [int(process.exitcode or 0) for process in processes]


def _distributed(store: SliceStore, folder: Path, kill: int) -> dict[str, Any]:
    straight, place = folder / "ddp straight", folder / "ddp"
    done = _together(store, straight, None, folder / "meeting 0")
    killed = _together(store, place, kill, folder / "meeting 1")
    kept = find_checkpoints(place)
    resumed = _together(store, place, None, folder / "meeting 2")
    one, other = (torch.load(path / "tensors.pt", weights_only=True) for path in (straight, place))
    return {"killed": killed, "kept": kept, "codes": done + resumed, "differences": _unequal(one, other)}


def _differences(one: Any, other: Any) -> list[str]:
    return _unequal(*(training_tensors(t.network, t.optimizer) for t in (one, other)))


def _unequal(*tensors: dict[str, torch.Tensor]) -> list[str]:
    names = tensors[0].keys() | tensors[1].keys()
    return sorted(
        name
        for name in names
        if name not in tensors[0] or name not in tensors[1] or not torch.equal(tensors[0][name], tensors[1][name])
    )


def main(folder: Path) -> None:
    """Runs all cases below a folder."""
    torch.set_num_threads(1)
    store = tiny_store(folder)
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)  # noqa: S311 - no secret
    results: dict[str, Any] = {"seed": seed, "cases": {}}
    for name, options in CASES.items():
        straight = _run(store, folder / f"{name} straight", None, **options)
        place = folder / name
        first, second = sorted(rng.sample(range(2, 10), 2))
        codes = [_killed(store, place, step, signal.SIGKILL, **options) for step in (first, second)]
        resumed = _run(store, place, None, **options)
        results["cases"][name] = {
            "kills": [first, second],
            "codes": codes,
            "steps": [straight.state.iteration, resumed.state.iteration],
            "differences": _differences(straight, resumed),
        }
    place = folder / "terminated"
    results["sigterm"] = {"code": _killed(store, place, 4, signal.SIGTERM)}
    resumed = _run(store, place, None)
    results["sigterm"]["steps"] = resumed.state.iteration
    place = folder / "group terminated"
    code = _group_terminated(store, place, 4, workers=2)
    results["group"] = {
        "code": code,
        "kept": find_checkpoints(place),
        "steps": _run(store, place, None).state.iteration,
    }
    place = folder / "terminated"
    again = _run(store, place, None)
    results["again"] = {"steps": again.state.iteration, "differences": _differences(resumed, again)}
    results["together"] = _distributed(store, folder, rng.randrange(4, 10))
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
