# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from monai_dino.handlers import EmbeddingWriter


class Cases(list[Any]):
    @property
    def dataset(self) -> list[Any]:
        return self


def embed(folder: Path, vectors: dict[str, torch.Tensor], fail_at: str | None = None) -> None:
    def step(engine: Engine, case: str) -> list[dict[str, Any]]:
        if case == fail_at:
            raise ValueError(case)
        engine.state.batch = [{"case": case}]
        return [{"pred": MetaTensor(vectors[case])}]

    engine = Engine(step)
    EmbeddingWriter(folder).attach(engine)
    engine.run(Cases(vectors))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_row_for_each_slice_and_the_mean_of_each_case(tmp_path: Path) -> None:
    vectors = {"a": torch.randn(3, 4), "b": torch.randn(1, 4) * 1e-9}
    embed(tmp_path, vectors)
    slices, volumes = read(tmp_path / "slices.csv"), read(tmp_path / "volumes.csv")
    assert [(row["case"], row["slice"]) for row in slices] == [("a", "0"), ("a", "1"), ("a", "2"), ("b", "0")]
    found = torch.tensor([[float(row[f"f{i}"]) for i in range(4)] for row in slices])
    torch.testing.assert_close(found, torch.cat(list(vectors.values())), rtol=1e-6, atol=0)
    means = torch.tensor([[float(row[f"f{i}"]) for i in range(4)] for row in volumes])
    torch.testing.assert_close(means, torch.stack([v.mean(dim=0) for v in vectors.values()]), rtol=1e-5, atol=0)


def test_a_failed_run_leaves_no_table_that_could_be_taken_for_its_own(tmp_path: Path) -> None:
    embed(tmp_path, {"old": torch.zeros(1, 2)})
    with pytest.raises(ValueError, match="b"):
        embed(tmp_path, {"a": torch.zeros(1, 2), "b": torch.zeros(1, 2)}, fail_at="b")
    assert not list(tmp_path.glob("*.csv"))
