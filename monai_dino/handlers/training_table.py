# SPDX-License-Identifier: Apache-2.0
"""A CSV file that grows row by row with a training, and is taken up again with it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from monai_dino.files import write_csv

__all__ = ["TrainingTable"]


class TrainingTable:
    """A CSV file with a row for each logged step.

    A row is appended in one write, so a long table is not written anew each time. A column that appears later, such as
    a loss that begins in the middle, is the exception.

    Args:
        path: the file; its folder is made.
        last_step: step that the run goes on from. What the file has of later steps, which are done again, is dropped,
            and so is a row that an interruption cut off; with 0 the table begins anew.
    """

    def __init__(self, path: str | Path, last_step: int = 0) -> None:
        self.path = Path(path)
        rows = [row for row in read_training_table(self.path) if float(row["step"]) <= last_step]
        self.columns = list(rows[0]) if rows else []
        if self.path.is_file():
            write_csv(self.path, rows)

    def add(self, row: Mapping[str, float]) -> None:
        """Adds a row.

        Args:
            row: name of the column -> number; ``step`` is one.
        """
        if new := [name for name in row if name not in self.columns]:
            old: list[Mapping[str, object]] = [*read_training_table(self.path), row]
            self.columns += new
            write_csv(self.path, [{name: kept.get(name, "") for name in self.columns} for kept in old])
            return
        cells = ",".join(str(row.get(name, "")) for name in self.columns)
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            stream.write(f"{cells}\r\n")


def read_training_table(path: str | Path) -> list[dict[str, str]]:
    """Reads the rows that were written whole.

    Args:
        path: the file.

    Returns:
        For each row, name of the column -> number as text; none where there is no file.
    """
    path = Path(path)
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        whole = [line for line in stream if line.endswith("\r\n")]
    header, *rows = [*csv.reader(whole)] or [[]]
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header) and "step" in header]
