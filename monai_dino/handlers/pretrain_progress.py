# SPDX-License-Identifier: Apache-2.0
"""What a person who waits for a self-supervised training wants to see."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from ignite.engine import Engine, Events
from tqdm import tqdm

from monai_dino.handlers.collapse import CollapseMonitor
from monai_dino.handlers.instruments import InstrumentEvents
from monai_dino.inferers.autocast import resolved_precision
from monai_dino.losses.collectives import several_processes
from monai_dino.networks import count_parameters

__all__ = ["PretrainProgressHandler"]


class PretrainProgressHandler:
    """A report of the parameters, a bar over all steps, a line for each epoch, and a summary at the end.

    The bar starts at the step that the run goes on from. Its numbers are those of the last row of
    :class:`InstrumentsHandler`, without which there are none, so that no step waits for the accelerator. The first
    process alone talks.

    Args:
        written: files and folders that the summary names where they are there.
        monitor: whose verdict the summary repeats; ``None`` for none.
    """

    def __init__(self, written: Sequence[str | Path] = (), monitor: CollapseMonitor | None = None) -> None:
        self.written = [Path(path) for path in written]
        self.monitor = monitor
        self.rows: list[dict[str, float]] = []
        self.bar: Any = None
        self._started, self._first = 0.0, 0

    def attach(self, engine: Engine) -> None:
        """Registers the handler; attach it after :class:`InstrumentsHandler` and the monitor.

        Args:
            engine: the trainer.
        """
        if several_processes() and dist.get_rank() > 0:
            return
        engine.register_events(*InstrumentEvents)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(InstrumentEvents.ROW_COMPLETED, self._row)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _begin(self, engine: Engine) -> None:
        self.rows = []
        if self.bar is not None:
            return
        self._started, self._first = time.monotonic(), engine.state.iteration
        student = getattr(engine.network, "student", engine.network)
        print(f"{type(engine.network).__name__}: {count_parameters(student)}")
        steps = engine.state.max_epochs * engine.state.epoch_length
        if (settings := getattr(engine.network, "settings", None)) is not None:
            precision = resolved_precision(engine.precision, engine.state.device)
            print(f"{settings.summary(engine.sampler.batch_size, steps)}, {precision}")
        self.bar = tqdm(total=steps, initial=self._first, desc="Pretraining", unit="step", dynamic_ncols=True)

    def _row(self, engine: Engine) -> None:
        row = engine.state.instruments
        self.rows.append(row)
        self.bar.set_postfix(
            {"epoch": row["epoch"], "loss": f"{row['loss']:.3f}", "images/s": f"{row['images_per_second']:.1f}"},
            refresh=False,
        )

    def _step(self, engine: Engine) -> None:
        self.bar.update(1)

    def _epoch(self, engine: Engine) -> None:
        said = f"epoch {engine.state.epoch} of {engine.state.max_epochs}"
        if self.rows:
            loss = sum(row["loss"] for row in self.rows) / len(self.rows)
            row = self.rows[-1]
            said += f": loss {loss:.4f}, {row['images_per_second']:.1f} images/s"
            if "effective_rank" in row:
                said += f", effective rank of features {row['effective_rank']:.1f}"
        self.bar.write(said)

    def _finish(self, engine: Engine) -> None:
        if self.bar is None:
            print(
                f"nothing is left to train: step {engine.state.iteration} is the last; with more epochs it would go "
                f"on, with rates that follow the new length"
            )
        else:
            self.bar.close()
            self.bar = None
            steps = engine.state.iteration - self._first
            minutes = (time.monotonic() - self._started) / 60
            print(f"trained {steps} steps in {minutes:.1f} min, to step {engine.state.iteration}")
        if self.monitor is not None:
            print(self.monitor.summary())
        if there := [str(path) for path in self.written if path.exists()]:
            print(f"wrote {', '.join(there)}")

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
