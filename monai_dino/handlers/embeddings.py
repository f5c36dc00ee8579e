# SPDX-License-Identifier: Apache-2.0
"""Tables of vectors, written while an evaluator runs over cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from tqdm import tqdm

from monai_dino.files import write_csv

__all__ = ["EmbeddingWriter"]

_DIGITS = 7  # of float32


class EmbeddingWriter:
    """Writes ``slices.csv``, a row for each slice, and ``volumes.csv``, the mean of a case's slices.

    Columns are ``case``, ``slice`` (of the slices alone) and ``f0``, ``f1``, ... The tables are whole or not there.

    Args:
        output_dir: folder of the tables.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)
        self.slices: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.bar: Any = None

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the evaluator; each item of its output has ``pred``, shape (D, F), and the batch ``case``.
        """
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        self.slices, self.volumes = [], []
        for name in ("slices.csv", "volumes.csv"):
            (self.output_dir / name).unlink(missing_ok=True)  # they would not be those of the new cases
        self.bar = tqdm(total=len(engine.state.dataloader.dataset), desc="Embedding", unit="case")

    def _gather(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            case, vectors = str(batch["case"]), output["pred"].as_subclass(torch.Tensor).cpu()
            self.slices += [{"case": case, "slice": k} | _columns(vector) for k, vector in enumerate(vectors)]
            self.volumes.append({"case": case} | _columns(vectors.mean(dim=0)))
            self.bar.update(1)

    def _finish(self, engine: Engine) -> None:
        self.bar.close()
        write_csv(self.output_dir / "slices.csv", self.slices)
        write_csv(self.output_dir / "volumes.csv", self.volumes)
        print(
            f"wrote {len(self.slices)} slices to {self.output_dir / 'slices.csv'} and {len(self.volumes)} cases to "
            f"{self.output_dir / 'volumes.csv'}"
        )

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
        raise error


def _columns(vector: torch.Tensor) -> dict[str, str]:
    return {f"f{i}": f"{value:.{_DIGITS}g}" for i, value in enumerate(vector.tolist())}
