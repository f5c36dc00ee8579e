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

ADAPTATIONS: dict[str, dict[str, Any]] = {
    "full": {"mode": "full"},
    "frozen block": {"mode": "full", "freeze_blocks": 1},
    "lora": {"mode": "lora", "rank": 2, "dropout": 0.1},
    "bitfit": {"mode": "bitfit"},
}
CASES: dict[str, dict[str, Any]] = {
    **{name: {"adaptation": adaptation} for name, adaptation in ADAPTATIONS.items()},
    **{f"{name}, 2 workers": {"adaptation": adaptation, "workers": 2} for name, adaptation in ADAPTATIONS.items()},
    "softmax centring, heads first": {"preset": "dino", "head_warmup": 0.3, "ibot_weight": 0.5},
    "gram": {"preset": "dinov3", "gram_start": 0.3, "gram_refresh": 2},
    "fp16": {"precision": "fp16"},
    "bf16": {"precision": "bf16"},
}


def _run(store: SliceStore, folder: Path, on_step: Callable[[Engine], None] | None, **options: Any) -> Any:
    checkpoints = RunCheckpointHandler(folder, interval=3)
    trainer = tiny_trainer(store, handlers=lambda _: [checkpoints], **options)
    if trainer.scaler.is_enabled():  # a scale at which steps are taken, and that changes between the kills
        trainer.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
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


def _together(store: SliceStore, folder: Path, step: int | None, adaptation: dict[str, Any]) -> list[int]:
    """Runs a training on two processes, which are killed at a step; without one, the first writes what it came to."""
    folder.mkdir(exist_ok=True)
    meeting = folder / ("resumed" if step is None else "killed")

    def train(rank: int) -> None:
        where = f"file://{meeting}"
        dist.init_process_group("gloo", where, timedelta(seconds=120), world_size=2, rank=rank)
        kill = None if step is None else _kill_at(step, signal.SIGKILL)
        trainer = _run(store, folder / "ckpt", kill, distribution="ddp", adaptation=adaptation, workers=2)
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


def _distributed(store: SliceStore, folder: Path, kill: int, adaptation: dict[str, Any]) -> dict[str, Any]:
    straight, place = folder.with_name(f"{folder.name} straight"), folder
    done = _together(store, straight, None, adaptation)
    killed = _together(store, place, kill, adaptation)
    kept = find_checkpoints(place / "ckpt")
    resumed = _together(store, place, None, adaptation)
    one, other = (torch.load(path / "tensors.pt", weights_only=True) for path in (straight, place))
    return {"killed": killed, "kept": kept, "codes": done + resumed, "differences": _unequal(one, other)}


def _differences(one: Any, other: Any) -> list[str]:
    return _unequal(*(training_tensors(t.network, t.optimizer) for t in (one, other)))


def _moved(store: SliceStore, trained: Any, **options: Any) -> bool:
    """Whether each part of the network that is trained is another than at the start."""
    names = ("encoder", "dino_head")
    students = [trained.network.student, tiny_trainer(store, **options).network.student]
    parts = [[torch.cat([p.flatten() for p in getattr(s, name).parameters()]) for s in students] for name in names]
    return all(not torch.equal(*part) for part in parts)


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
            "scales": [straight.scaler.get_scale(), resumed.scaler.get_scale()],
            "learnt": _moved(store, straight, **options),
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
    results["together"] = {
        name: _distributed(store, folder / f"{name}, ddp", rng.randrange(4, 10), adaptation)
        for name, adaptation in ADAPTATIONS.items()
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
