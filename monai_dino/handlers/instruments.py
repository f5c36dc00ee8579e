# SPDX-License-Identifier: Apache-2.0
"""The numbers by which a training is watched."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, EventEnum, Events

from monai_dino.errors import ConfigurationError
from monai_dino.handlers.feature_window import FeatureWindow, effective_rank, feature_similarity
from monai_dino.handlers.instrument_writers import MLflowWriter, TensorBoardWriter
from monai_dino.handlers.training_table import TrainingTable
from monai_dino.losses.collectives import all_reduce_sum, several_processes

__all__ = ["InstrumentEvents", "InstrumentsHandler"]

_SCHEDULED = ("learning_rate", "weight_decay", "momentum", "teacher_temp")


class InstrumentEvents(EventEnum):  # type: ignore[misc]  # ignite has no types
    """Events of :class:`InstrumentsHandler`: ``ROW_COMPLETED`` after each row."""

    ROW_COMPLETED = "row_completed"


class InstrumentsHandler:
    """Every so many steps a row of numbers, in ``engine.state.instruments``, ``training.csv``, TensorBoard and MLflow.

    Rows have:

    - ``step``, ``epoch``;
    - ``loss``, each loss apart before its weight (``dino_global``, ``dino_local``, ``ibot``, ``koleo``, ``gram``),
      ``target_entropy``, ``usage_entropy`` and ``gradient_norm_PART`` before clipping: means over the steps since the
      last row. Both entropies, and the sum of the DINO losses, also ``_relative`` to ln K, that of an even guess among
      all K prototypes;
    - ``learning_rate``, ``weight_decay``, ``momentum``, ``teacher_temp``, ``center_norm`` (softmax centring) of the
      step;
    - ``effective_rank`` and ``feature_similarity`` of the teacher's last class tokens, ``feature_rows`` of them; see
      :func:`effective_rank`, which is at most min(window, D), and :func:`feature_similarity`;
    - ``images_per_second``, ``data_wait``: the share of the time since the last row that was spent waiting for
      batches, and ``memory_mb``: the most memory so far, on the GPU where there is one.

    Of several processes each number is the mean, but ``images_per_second``, which counts the images of all. Steps
    without a row do not wait for the accelerator. Nothing but numbers is written, so nothing of a patient.

    Args:
        output_dir: folder of ``training.csv`` and ``tensorboard``. A run that is taken up again goes on in them; rows
            of later steps, which are done again, are dropped.
        interval: steps from row to row; the last step has one as well.
        window: images for rank and similarity.
        mlflow_uri: MLflow's tracking address, ``None`` for none; see :class:`monai.handlers.MLFlowHandler`.

    Raises:
        ConfigurationError: for an interval or a window that is not above 0.
    """

    def __init__(
        self, output_dir: str | Path, interval: int = 10, window: int = 512, mlflow_uri: str | None = None
    ) -> None:
        for name, value in (("interval", interval), ("window", window)):
            if value < 1:
                raise ConfigurationError(f"{name}={value}: expected at least 1")
        self.output_dir = Path(output_dir)
        self.interval = interval
        self.mlflow_uri = mlflow_uri
        self.features = FeatureWindow(window)
        self.writers: list[Any] | None = None  # None until the run has begun
        self._forget(0.0)

    def attach(self, engine: Engine) -> None:
        """Registers the handler, on every process; attach it before those that read its rows.

        Args:
            engine: the trainer, a :class:`monai_dino.engines.DinoTrainer`.
        """
        engine.register_events(*InstrumentEvents)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._ask)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._receive)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _begin(self, engine: Engine) -> None:
        # Not when the engine starts, since only then others may load the checkpoint that it goes on from.
        if self.writers is not None:
            return
        self.writers = []
        self.features.clear()
        self._forget(time.monotonic())
        if several_processes() and dist.get_rank() > 0:
            return
        last = engine.state.iteration
        self.writers.append(TrainingTable(self.output_dir / "training.csv", last))
        self.writers.append(TensorBoardWriter(self.output_dir / "tensorboard", last))
        if self.mlflow_uri is not None:
            self.writers.append(MLflowWriter(self.mlflow_uri, self.output_dir, engine))

    def _forget(self, now: float) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}
        self._images, self._waited, self._since, self._asked = 0, 0.0, now, now

    def _ask(self) -> None:
        self._asked = time.monotonic()

    def _receive(self) -> None:
        self._waited += time.monotonic() - self._asked

    def _count(self, engine: Engine) -> None:
        output = engine.state.output
        self._images += output["images"]
        values = {"loss": output["loss"]} | {k: v for k, v in output["parts"].items() if k != "features"}
        values |= {f"gradient_norm_{name}": norm for name, norm in output["gradient_norms"].items()}
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value.detach() if name in self._sums else value.detach()
            self._counts[name] = self._counts.get(name, 0) + 1
        if "features" in output["parts"]:
            self.features.add(output["parts"]["features"])
        if engine.state.iteration % self.interval == 0:
            self._add_row(engine)

    def _add_row(self, engine: Engine) -> None:
        device = self._sums["loss"].device
        numbers = self._numbers(engine)
        elapsed = max(time.monotonic() - self._since, 1e-9)  # after the numbers, for which the accelerator was awaited
        numbers |= {"images_per_second": self._images / elapsed, "data_wait": min(self._waited / elapsed, 1.0)}
        numbers |= _memory(device)
        numbers = _mean_over_processes(numbers, device)
        engine.state.instruments = {"step": engine.state.iteration, "epoch": engine.state.epoch} | numbers
        self._forget(time.monotonic())
        for writer in self.writers or ():
            writer.add(engine.state.instruments)
        engine.fire_event(InstrumentEvents.ROW_COMPLETED)

    def _numbers(self, engine: Engine) -> dict[str, float]:
        means = [_whole(total).double() / self._counts[name] for name, total in self._sums.items()]
        numbers = dict(zip(self._sums, torch.stack(means).tolist(), strict=True))
        dino_loss = getattr(engine.network, "dino_loss", None)
        numbers |= _relative(numbers, getattr(dino_loss, "out_dim", 0))
        values = engine.state.output["values"]
        numbers |= {name: float(getattr(values, name)) for name in _SCHEDULED if hasattr(values, name)}
        if (center := getattr(dino_loss, "center", None)) is not None:
            numbers["center_norm"] = float(center.norm())
        if len(self.features):
            rows = self.features.rows().float().cpu()
            numbers["effective_rank"] = effective_rank(rows)
            numbers["feature_similarity"] = feature_similarity(rows)
            numbers["feature_rows"] = float(len(rows))
        return numbers

    def _finish(self, engine: Engine) -> None:
        if self._sums:
            self._add_row(engine)
        for writer in self.writers or ():
            if hasattr(writer, "close"):
                writer.close()
        self.writers = None


def _relative(numbers: Mapping[str, float], prototypes: int) -> dict[str, float]:
    if prototypes < 2 or "dino_global" not in numbers:
        return {}
    sums = {"dino": numbers["dino_global"] + numbers.get("dino_local", 0.0)}
    sums |= {name: numbers[name] for name in ("target_entropy", "usage_entropy") if name in numbers}
    return {f"{name}_relative": value / math.log(prototypes) for name, value in sums.items()}


def _whole(value: torch.Tensor) -> torch.Tensor:
    """The norm of sharded gradients is itself spread over the processes."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def _memory(device: torch.device) -> dict[str, float]:
    if device.type == "cuda":
        return {"memory_mb": torch.cuda.max_memory_allocated(device) / 2**20}
    if sys.platform == "win32":
        return {}
    import resource

    # In bytes on a Mac, in units of 1024 elsewhere.
    return {
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    }


def _mean_over_processes(numbers: Mapping[str, float], device: torch.device) -> dict[str, float]:
    if not several_processes():
        return dict(numbers)
    total = all_reduce_sum(torch.tensor([*numbers.values()], dtype=torch.float64, device=device))
    return dict(zip(numbers, (total / dist.get_world_size()).tolist(), strict=True))
