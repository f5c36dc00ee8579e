# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a self-supervised training: every so many steps, on SIGTERM, and the resume."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events

from monai_dino.checkpoints import Checkpoint, find_checkpoints, open_checkpoint, write_checkpoint
from monai_dino.checkpoints.processes import Processes
from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.feature_provenance import encoder_hash
from monai_dino.handlers.run_values import (
    BEGIN_ANEW,
    check_length,
    refuse_changes,
    run_values,
    warn_of_changes,
    warn_of_schedules,
)
from monai_dino.ssl.training_state import prepare_state, training_tensors

__all__ = ["RunCheckpointHandler"]

_LOGGER = logging.getLogger(__name__)


class _HasState(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class RunCheckpointHandler:
    """Saves a training so that it goes on bit for bit, and takes it up again.

    A checkpoint is written every ``interval`` steps, after the last one, and when the process gets SIGTERM, as
    schedulers send it before the time is up; after that the run ends with exit status 143. :meth:`take_up`, before the
    trainer runs, takes up the newest whole checkpoint in ``ckpt_dir``, on however many processes it was written.

    Args:
        ckpt_dir: folder of the checkpoints.
        interval: steps between two.
        keep: how many of the last ones stay.
        score: name of a metric in ``engine.state.metrics``; the checkpoint after its highest value stays as well.
        resume: whether to take up what is there. Without, the folder must have no checkpoint.
        stateful: handlers whose own state is kept, each with ``state_dict`` and ``load_state_dict``.
        settings: how images are prepared, as :class:`ExportHandler` has it: what an export of a checkpoint writes as
            ``settings.json``. A run goes on only with the same modality, window, plane, fill, in_channels, image_size
            and neighbours.
        data: what else decides which images are seen, and how, and ``weights``, a digest of those that the encoder
            started from. A run goes on only with the same ``fold`` and ``weights``; other changes are logged, as those
            of the training's values are.

    Attributes:
        best: step and score of the best checkpoint; ``None`` while there is none.
        start: score before the first step; ``None`` where it was not measured.

    Raises:
        ConfigurationError: for an interval below 1, or a ``resume`` that is neither True nor False; when a trainer
            starts beside the checkpoints of another run that it did not take up.
    """

    def __init__(
        self,
        ckpt_dir: str | Path,
        interval: int = 500,
        keep: int = 2,
        score: str | None = None,
        resume: bool = True,
        stateful: Sequence[_HasState] = (),
        settings: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        if interval < 1 or keep < 1:
            raise ConfigurationError(f"checkpoint interval={interval}, keep={keep}: expected at least 1 of each")
        if not isinstance(resume, bool):  # a command line could make it "false", which is true
            raise ConfigurationError(f"resume: {resume!r} is neither True nor False; write it with a capital")
        self.ckpt_dir = Path(ckpt_dir)
        self.interval = interval
        self.keep = keep
        self.score = score
        self.resume = resume
        self.stateful = list(stateful)
        self.settings = settings
        self.data = data
        self.best: dict[str, float] | None = None
        self.start: float | None = None
        self.saved = 0
        self._asked = False  # whether checkpoints were looked for
        self._stopping = False
        self._previous: Any = None
        self._teacher: str | None = None  # hash of the frozen one of a distillation, which never changes

    def attach(self, engine: Engine) -> None:
        """Registers the handler; attach it after all others, so that a checkpoint holds what they did in its step.

        Args:
            engine: a :class:`monai_dino.engines.DinoTrainer`.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        # A k-NN that an interruption left out is caught up with when the next epoch starts, or when there is none.
        engine.add_event_handler(Events.EPOCH_STARTED | Events.EPOCH_COMPLETED, self._score)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def take_up(self, trainer: Any) -> int:
        """Loads the newest whole checkpoint, where there is one; call it before the trainer runs.

        Ignite decides at the start of a run where it begins, before any handler is called.

        Args:
            trainer: a fresh trainer.

        Returns:
            The step that the run goes on from; 0 at the beginning.

        Raises:
            CheckpointError: when it does not fit the network or the data, or none is whole.
            ConfigurationError: when there are checkpoints but ``resume`` is off, or the run would have ended before.
        """
        self._asked = True
        if not self.resume:
            if found := find_checkpoints(self.ckpt_dir):
                raise ConfigurationError(
                    f"ckpt_dir: {self.ckpt_dir} holds checkpoints of another run (steps {found}), and resume is off; "
                    f"set resume to True, or {BEGIN_ANEW}"
                )
            return 0
        checkpoint = open_checkpoint(self.ckpt_dir)
        if checkpoint is None:
            return 0
        self._load(trainer, checkpoint)
        _LOGGER.info("goes on after step %d of %s", checkpoint.step, checkpoint.folder)
        return checkpoint.step

    def _load(self, trainer: Any, checkpoint: Checkpoint) -> None:
        present = self._run_values(trainer)
        refuse_changes(checkpoint.state["run"], present, checkpoint.folder)
        check_length(trainer, checkpoint.step, checkpoint.folder)
        prepare_state(trainer.network, trainer.optimizer, checkpoint.tensors)
        checkpoint.load_into(training_tensors(trainer.network, trainer.optimizer))
        state = checkpoint.state
        warn_of_changes(state["run"], present, checkpoint.folder)
        warn_of_schedules(trainer, state["run"], checkpoint.step, checkpoint.folder)
        trainer.load_state_dict(
            {"iteration": checkpoint.step, "epoch_length": len(trainer.sampler), "max_epochs": trainer.state.max_epochs}
        )
        if state["scaler"]:
            trainer.scaler.load_state_dict(state["scaler"])
        for handler, kept in zip(self.stateful, state["handlers"], strict=True):
            handler.load_state_dict(kept)
        self.best, self.start = state["best"], state.get("start")
        if self.best is not None and math.isnan(self.best["score"]):
            self.best = None
        there = Processes().first(lambda: find_checkpoints(self.ckpt_dir))
        if self.best is not None and self.best["step"] not in there:
            _LOGGER.warning("%s: the best checkpoint, of step %d, is gone", self.ckpt_dir, self.best["step"])
            self.best = None
        self.saved = checkpoint.step

    def _start(self, engine: Engine) -> None:
        self._stopping = False
        if not self._asked and (found := find_checkpoints(self.ckpt_dir)):
            raise ConfigurationError(
                f"ckpt_dir: {self.ckpt_dir} holds checkpoints of another run (steps {found}); call take_up(trainer) "
                f"before the trainer runs, or {BEGIN_ANEW}"
            )
        self._asked = True
        self._run_values(engine)  # what cannot be saved is to be known before the first step
        try:
            self._previous = signal.signal(signal.SIGTERM, self._stop)
        except ValueError:  # not in the main thread, where no signal comes
            self._previous = None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _step(self, engine: Any) -> None:
        stopping = self._anyone_stopping(engine.state.device)
        if stopping or engine.state.iteration % self.interval == 0:
            self._save(engine)
        if stopping:
            print(f"stopped after step {engine.state.iteration} by SIGTERM; the same command goes on from there")
            engine.terminate(skip_completed=True)
            engine.interrupted = True
            self._restore_signal()

    def _anyone_stopping(self, device: torch.device) -> bool:
        if not (dist.is_available() and dist.is_initialized()):
            return self._stopping
        flag = torch.tensor(float(self._stopping), device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)  # else one would save while the others train
        return bool(flag)

    def _score(self, engine: Any) -> None:
        value = engine.state.metrics.get(self.score) if self.score else None
        if value is None or math.isnan(value):
            return
        if not engine.state.iteration:
            self.start = float(value)
        elif self.best is None or value > self.best["score"]:
            self.best = {"step": engine.state.iteration, "score": float(value)}
            self._save(engine)

    def _finish(self, engine: Any) -> None:
        self._score(engine)
        if self.saved != engine.state.iteration:
            self._save(engine)
        self._restore_signal()

    def _fail(self, engine: Engine, error: BaseException) -> None:
        self._restore_signal()

    def _restore_signal(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None

    def _run_values(self, trainer: Any) -> dict[str, Any]:
        if self._teacher is None and (frozen := getattr(trainer.network, "frozen_teacher", None)) is not None:
            self._teacher = encoder_hash(frozen.encoder)
        given = {"settings": self.settings, "data": self.data}
        about = {name: dict(values) for name, values in given.items() if values is not None}
        return run_values(trainer) | {"teacher": self._teacher} | about

    def _save(self, engine: Any) -> None:
        step = engine.state.iteration
        state = {
            "run": self._run_values(engine),
            "scaler": engine.scaler.state_dict(),
            "handlers": [handler.state_dict() for handler in self.stateful],
            "best": self.best,
            "start": self.start,
        }
        protect = [] if self.best is None else [int(self.best["step"])]
        tensors = training_tensors(engine.network, engine.optimizer)
        write_checkpoint(self.ckpt_dir, step, tensors, state, self.keep, protect)
        self.saved = step
