# SPDX-License-Identifier: Apache-2.0
"""What a person who waits for a training wants to see."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from tqdm import tqdm

from monai_dino.files import write_csv
from monai_dino.networks import count_parameters

__all__ = ["ProgressHandler"]


class ProgressHandler:
    """A report of the parameters, a progress bar, a line for each epoch, a table of the epochs, and a last line.

    Args:
        evaluator: the evaluator of the validation cases, or ``None``.
        log_file: CSV file with epoch, loss, learning rate and the key metric of validation; ``None`` for none.
        result: what the last line says was written, such as the path of the best network.
        max_minutes: limit on the time of training, after which the bar expects its end; ``None`` for none.
    """

    def __init__(
        self,
        evaluator: Evaluator | None = None,
        log_file: str | Path | None = None,
        result: str | Path | None = None,
        max_minutes: float | None = None,
    ) -> None:
        self.evaluator = evaluator
        self.max_minutes = max_minutes
        self.log_file = None if log_file is None else Path(log_file)
        self.result = result
        self.rows: list[dict[str, Any]] = []
        self.losses: list[float] = []
        self.best, self.best_epoch = -math.inf, 0
        self.started, self.steps = 0.0, 0
        self.bar: Any = None

    def attach(self, engine: Engine) -> None:
        """Registers the handler; attach it after the one that runs validation.

        Args:
            engine: the trainer.
        """
        if dist.is_available() and dist.is_initialized() and dist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        self.started = time.monotonic()
        self.steps = (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)
        network = getattr(engine.network, "module", engine.network)  # inside one for distributed training
        print(f"{type(network).__name__}: {count_parameters(network)}")
        self.bar = tqdm(total=self.steps, desc="Training", unit="step", dynamic_ncols=True)

    def _iteration(self, engine: Engine) -> None:
        output = engine.state.output
        loss = float(torch.as_tensor((output[0] if isinstance(output, list) else output)["loss"]).detach())
        self.losses.append(loss)
        self.bar.update(1)
        if self.max_minutes is not None:
            share = (time.monotonic() - self.started) / (60 * self.max_minutes)
            self.bar.total = min(self.steps, max(self.bar.n, round(self.bar.n / max(share, 1e-9))))
        self.bar.set_postfix(epoch=engine.state.epoch, loss=f"{loss:.3f}")

    def _epoch(self, engine: Engine) -> None:
        rate = max(group["lr"] for group in engine.optimizer.param_groups)
        row: dict[str, Any] = {"epoch": engine.state.epoch, "loss": sum(self.losses) / max(len(self.losses), 1)}
        row |= {"learning_rate": rate}
        self.losses = []
        text = f"epoch {row['epoch']}: loss {row['loss']:.4f}"
        name = None if self.evaluator is None else self.evaluator.state.key_metric_name
        if self.evaluator is not None and name and self.evaluator.state.epoch == row["epoch"]:  # it ran in this epoch
            row[name] = float(self.evaluator.state.metrics[name])
            text += f", {name} {row[name]:.4f}{self._best(row[name], row['epoch'])}"
        self.bar.write(text)
        self.rows.append(row)
        if self.log_file is not None:
            write_csv(self.log_file, self.rows)

    def _best(self, value: float, epoch: int) -> str:
        if value > self.best:  # an undefined value, NaN, is never the best
            self.best, self.best_epoch = value, epoch
        return f" (best {self.best:.4f} in epoch {self.best_epoch})" if self.best_epoch else ""

    def _finish(self, engine: Engine) -> None:
        self.bar.close()
        if any(math.isnan(row["loss"]) for row in self.rows):
            print("the loss became NaN: lower the learning rate, or set precision to fp32")
        written = [str(p) for p in (self.result, self.log_file) if p is not None]
        wrote = f"; wrote {' and '.join(written)}" if written else ""
        print(f"trained {engine.state.epoch} epochs, {engine.state.iteration} steps{wrote}")

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
        raise error
