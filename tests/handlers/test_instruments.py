# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from scripted_pretraining import Network, output_of, run, trainer

from monai_dino.errors import ConfigurationError
from monai_dino.handlers import InstrumentEvents, InstrumentsHandler, effective_rank, instruments


def read(folder: Path) -> list[dict[str, float]]:
    with (folder / "training.csv").open(newline="") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def test_a_row_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    engine = trainer([InstrumentsHandler(tmp_path, interval=3)])
    seen: list[int] = []
    engine.add_event_handler(InstrumentEvents.ROW_COMPLETED, lambda e: seen.append(e.state.instruments["step"]))
    run(engine, epochs=2, length=5)
    assert seen == [3, 6, 9, 10]
    assert [(row["step"], row["epoch"]) for row in read(tmp_path)] == [(3, 1), (6, 2), (9, 2), (10, 2)]
    assert engine.state.instruments["step"] == 10  # type: ignore[attr-defined]


def test_row_holds_means_since_the_last_one_and_values_of_the_step(tmp_path: Path) -> None:
    run(trainer([InstrumentsHandler(tmp_path, interval=4)]), epochs=1, length=8)
    row = read(tmp_path)[1]
    mean = (5 + 6 + 7 + 8) / 4
    expected = {
        **{"loss": 3 * mean, "dino_global": mean, "dino_local": 2 * mean, "gradient_norm_encoder": 0.5 * mean},
        **{"dino_relative": 3 * mean / math.log(16), "target_entropy": 2.0, "usage_entropy": 1.0},
        **{"target_entropy_relative": 2 / math.log(16), "usage_entropy_relative": 1 / math.log(16)},
        **{"learning_rate": 0.008, "weight_decay": 0.04, "momentum": 0.99, "teacher_temp": 0.05, "center_norm": 2.0},
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["images_per_second"] > 0
    assert row["memory_mb"] > 50
    assert not row.keys() & {"features", "images"}


def test_rank_and_similarity_of_the_window(tmp_path: Path) -> None:
    run(trainer([InstrumentsHandler(tmp_path, interval=2, window=20)]), epochs=1, length=4)
    features = torch.cat([output_of(step)["parts"]["features"] for step in range(1, 5)])[-20:]
    first, second = read(tmp_path)
    assert (first["feature_rows"], second["feature_rows"]) == (16, 20)
    assert second["effective_rank"] == pytest.approx(effective_rank(features))


def test_loss_that_begins_in_the_middle_is_a_mean_over_its_own_steps(tmp_path: Path) -> None:
    def output(step: int) -> dict[str, Any]:
        out = output_of(step)
        return out | {"parts": out["parts"] | ({"gram": torch.tensor(8.0)} if step == 4 else {})}

    engine = run(trainer([InstrumentsHandler(tmp_path, interval=2)], output), epochs=1, length=4)
    assert engine.state.instruments["gram"] == 8.0  # type: ignore[attr-defined]


def test_other_networks_have_fewer_numbers(tmp_path: Path) -> None:
    def output(step: int) -> dict[str, Any]:
        return output_of(step, parts={"feature": torch.tensor(1.0)}, values=None, gradient_norms={})

    engine = run(trainer([InstrumentsHandler(tmp_path)], output, torch.nn.Linear(1, 1)), epochs=1, length=1)
    found = engine.state.instruments  # type: ignore[attr-defined]
    assert found.keys() == {*("step", "epoch", "loss", "feature", "images_per_second", "data_wait", "memory_mb")}


def test_sinkhorn_knopp_has_no_center(tmp_path: Path) -> None:
    engine = run(trainer([InstrumentsHandler(tmp_path)], network=Network(centered=False)), epochs=1, length=1)
    assert "center_norm" not in engine.state.instruments  # type: ignore[attr-defined]


@pytest.mark.parametrize(("wait", "work", "share"), [(3.0, 1.0, 0.75), (1.0, 3.0, 0.25), (0.0, 2.0, 0.0)])
def test_data_wait_tells_a_slow_loader_from_a_slow_network(
    wait: float, work: float, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(instruments, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def batches() -> Iterator[int]:
        for index in range(10):
            clock[0] += wait
            yield index

    def output(step: int) -> dict[str, Any]:
        clock[0] += work
        return output_of(step)

    engine = trainer([InstrumentsHandler(tmp_path, interval=5)], output)
    engine.run(batches(), max_epochs=1, epoch_length=10)
    assert [row["data_wait"] for row in read(tmp_path)] == [share, share]
    assert [row["images_per_second"] for row in read(tmp_path)] == [4 / (wait + work)] * 2


@pytest.mark.parametrize("stop", [1, 4, 5, 7, 9])
def test_resumed_run_has_each_step_once(stop: int, tmp_path: Path) -> None:
    """The checkpoint is of the step ``stop``; the run was killed two steps later."""

    def killed(step: int) -> dict[str, Any]:
        if step > stop + 2:
            raise KeyboardInterrupt
        return output_of(step)

    with pytest.raises(KeyboardInterrupt):
        run(trainer([InstrumentsHandler(tmp_path, interval=2)], killed), epochs=4, length=3)
    run(trainer([InstrumentsHandler(tmp_path, interval=2)]), epochs=4, length=3, start=stop)
    rows = read(tmp_path)
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert [row["loss"] for row in rows] == pytest.approx(
        [3 * (step if step == stop + 1 else step - 0.5) for step in range(2, 13, 2)]
    )


def test_run_that_begins_anew_begins_its_files_anew(tmp_path: Path) -> None:
    for _ in range(2):
        run(trainer([InstrumentsHandler(tmp_path, interval=2)]), epochs=1, length=4)
    assert [row["step"] for row in read(tmp_path)] == [2, 4]


def test_engine_that_goes_on_after_its_end(tmp_path: Path) -> None:
    engine = run(trainer([InstrumentsHandler(tmp_path, interval=2)]), epochs=1, length=4)
    engine.run(range(4), max_epochs=2)
    assert [row["step"] for row in read(tmp_path)] == [2, 4, 6, 8]


def test_steps_without_a_row_read_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read waits for the accelerator."""
    reads: list[int] = []
    engine = Engine(lambda e, batch: output_of(e.state.iteration))
    engine.network = Network()  # type: ignore[attr-defined]
    InstrumentsHandler(tmp_path, interval=4).attach(engine)
    for name in ("item", "tolist", "__float__", "cpu", "__bool__"):
        original = getattr(torch.Tensor, name)

        def spy(self: torch.Tensor, *args: Any, original: Any = original, **kwargs: Any) -> Any:
            reads.append(engine.state.iteration)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, spy)
    run(engine, epochs=2, length=4)
    assert set(reads) == {4, 8}


def test_numbers_of_several_processes_are_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process has twice the numbers of this one, which is not the first and writes nothing."""
    monkeypatch.setattr(instruments, "several_processes", lambda: True)
    monkeypatch.setattr(instruments, "all_reduce_sum", lambda x: 3 * x)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    engine = run(trainer([InstrumentsHandler(tmp_path / "out", interval=2)]), epochs=1, length=2)
    assert engine.state.instruments["loss"] == pytest.approx(1.5 * 4.5)  # type: ignore[attr-defined]
    assert engine.state.instruments["step"] == 2  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()


def test_last_row_is_there_for_those_that_come_after(tmp_path: Path) -> None:
    engine, found = trainer([InstrumentsHandler(tmp_path, interval=10)]), []
    engine.add_event_handler(Events.COMPLETED, lambda e: found.append(e.state.instruments["step"]))
    run(engine, epochs=1, length=3)
    assert found == [3]


@pytest.mark.parametrize("setting", ["interval", "window"])
def test_settings_are_checked(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting}=0: expected at least 1"):
        InstrumentsHandler(tmp_path, **{setting: 0})
