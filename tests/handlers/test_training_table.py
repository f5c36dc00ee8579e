# SPDX-License-Identifier: Apache-2.0
"""A table that has each step once, whatever happened in between."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_dino import files
from monai_dino.handlers.training_table import TrainingTable, read_training_table


def steps(path: Path) -> list[int]:
    with path.open(newline="") as stream:
        return [int(row["step"]) for row in csv.DictReader(stream)]


def test_rows_can_be_read_after_each(tmp_path: Path) -> None:
    path = tmp_path / "new" / "training.csv"
    table = TrainingTable(path)
    for step in (10, 20, 30):
        table.add({"step": step, "loss": step / 8})
        assert steps(path) == list(range(10, step + 1, 10))
    assert path.read_bytes() == b"step,loss\r\n10,1.25\r\n20,2.5\r\n30,3.75\r\n"


def test_numbers_come_back_whole(tmp_path: Path) -> None:
    table = TrainingTable(tmp_path / "t.csv")
    table.add({"step": 1, "x": 0.1 + 0.2, "y": float("nan"), "z": float("inf")})
    row = read_training_table(tmp_path / "t.csv")[0]
    assert (float(row["x"]), row["y"], float(row["z"])) == (0.1 + 0.2, "nan", float("inf"))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 12), max_size=4))
def test_each_step_is_there_once_after_any_restarts(restarts: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path, done = Path(folder) / "t.csv", 0
        for start in [*restarts, 0, 12]:
            start = min(start, done)
            table = TrainingTable(path, start)
            for step in range(start + 1, start + 5):
                table.add({"step": step, "loss": 1.0})
            done = start + 4
        assert steps(path) == list(range(1, done + 1))


def test_row_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"step,loss\r\n10,1.5\r\n20,1.2\r\n30,0.")
    TrainingTable(path, 30).add({"step": 40, "loss": 1.0})
    assert path.read_bytes() == b"step,loss\r\n10,1.5\r\n20,1.2\r\n40,1.0\r\n"


def test_column_that_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    table = TrainingTable(path)
    for row in ({"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0, "gram": 0.5}, {"step": 3, "gram": 0.25}):
        table.add(row)
    assert path.read_bytes() == b"step,loss,gram\r\n1,3.0,\r\n2,2.0,0.5\r\n3,,0.25\r\n"


def test_long_table_is_not_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = TrainingTable(tmp_path / "t.csv")
    table.add({"step": 1, "loss": 1.0})
    monkeypatch.setattr(files, "written_whole", None)
    table.add({"step": 2, "loss": 1.0})
    assert steps(tmp_path / "t.csv") == [1, 2]


@pytest.mark.parametrize("content", [b"", b"\r\n", b"epoch,loss\r\n1,2\r\n", b"step\n1\n"])
def test_another_file_of_this_name_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    TrainingTable(tmp_path / "t.csv", 5).add({"step": 6, "loss": 1.0})
    assert (tmp_path / "t.csv").read_bytes() == b"step,loss\r\n6,1.0\r\n"
