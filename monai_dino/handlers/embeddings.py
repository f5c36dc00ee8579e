# SPDX-License-Identifier: Apache-2.0
"""Tables of vectors, written while an evaluator runs over cases."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from tqdm import tqdm

from monai_dino.files import written_whole

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
        self.vectors: list[tuple[str, np.ndarray]] = []  # as text they would take far more memory
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
        self.vectors = []
        for name in ("slices.csv", "volumes.csv"):
            (self.output_dir / name).unlink(missing_ok=True)  # they would not be those of the new cases
        self.bar = tqdm(total=len(engine.state.dataloader.dataset), desc="Embedding", unit="case")

    def _gather(self, engine: Engine) -> None:
        for batch, output in zip(engine.state.batch, engine.state.output, strict=True):
            vectors = output["pred"].as_subclass(torch.Tensor).float().cpu().numpy()
            self.vectors.append((str(batch["case"]), vectors))
            self.bar.update(1)

    def _finish(self, engine: Engine) -> None:
        self.bar.close()
        slices, volumes = self.output_dir / "slices.csv", self.output_dir / "volumes.csv"
        of_slices = ([case, k, *_texts(row)] for case, rows in self.vectors for k, row in enumerate(rows))
        _write(slices, ["case", "slice"], of_slices, self.vectors)
        _write(volumes, ["case"], ([case, *_texts(rows.mean(axis=0))] for case, rows in self.vectors), self.vectors)
        count = sum(len(rows) for _, rows in self.vectors)
        print(f"wrote {count} slices to {slices} and {len(self.vectors)} cases to {volumes}")

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
        raise error


def _texts(vector: np.ndarray) -> list[str]:
    return [f"{value:.{_DIGITS}g}" for value in vector.tolist()]


def _write(
    path: Path, columns: list[str], rows: Iterable[Sequence[Any]], vectors: Sequence[tuple[str, np.ndarray]]
) -> None:
    width = vectors[0][1].shape[1] if vectors else 0
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns + [f"f{i}" for i in range(width)])
        writer.writerows(rows)
