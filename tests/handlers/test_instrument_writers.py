# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Events
from monai.handlers import mlflow_handler
from scripted_pretraining import output_of, run, trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_dino.errors import ConfigurationError
from monai_dino.handlers import InstrumentsHandler, instrument_writers


def curves(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder / "tensorboard")).Reload()


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in curves(folder).Scalars(name)]


def test_tensorboard_has_a_curve_for_each_number(tmp_path: Path) -> None:
    engine = run(trainer([InstrumentsHandler(tmp_path, interval=2)]), epochs=1, length=4)
    assert points(tmp_path, "loss") == [(2, 4.5), (4, 10.5)]
    row = engine.state.instruments  # type: ignore[attr-defined]
    assert set(curves(tmp_path).Tags()["scalars"]) == set(row) - {"step", "epoch"}


def test_tensorboard_of_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    def killed(step: int) -> dict[str, Any]:
        if step > 6:
            raise KeyboardInterrupt
        return output_of(step)

    with pytest.raises(KeyboardInterrupt):
        run(trainer([InstrumentsHandler(tmp_path, interval=2)], killed), epochs=2, length=4)
    run(trainer([InstrumentsHandler(tmp_path, interval=2)]), epochs=2, length=4, start=4)
    assert [step for step, _ in points(tmp_path, "loss")] == [2, 4, 6, 8]


def test_without_tensorboard_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(instrument_writers, "optional_import", lambda *args, **kwargs: (None, False))
    run(trainer([InstrumentsHandler(tmp_path, interval=1)]), epochs=1, length=3)
    assert caplog.messages == ["no curves for TensorBoard: pip install tensorboard"]
    assert (tmp_path / "training.csv").is_file()


class Client:
    """A tracking server."""

    runs: list[SimpleNamespace] = []
    logged: list[tuple[str, int, dict[str, float]]] = []

    def __init__(self, tracking_uri: str | None) -> None:
        self.uri = tracking_uri

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id=name, lifecycle_stage="active")

    def search_runs(self, experiment_id: str) -> list[SimpleNamespace]:
        return self.runs

    def get_run(self, run_id: str) -> SimpleNamespace:
        return next(r for r in self.runs if r.info.run_id == run_id)

    def create_run(self, experiment_id: str, run_name: str) -> SimpleNamespace:
        info = SimpleNamespace(
            run_id=f"run{len(self.runs)}", run_name=run_name, status="RUNNING", experiment=experiment_id
        )
        self.runs.append(SimpleNamespace(info=info, data=SimpleNamespace(params={})))
        return self.runs[-1]

    def log_batch(self, run_id: str, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        if metrics:
            self.logged.append((run_id, metrics[0].step, {m.key: m.value for m in metrics}))

    def set_terminated(self, run_id: str, status: str | None = None) -> None:
        self.get_run(run_id).info.status = "FINISHED"


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    """A package mlflow as far as MONAI's handler uses it."""
    entities = SimpleNamespace(
        RunStatus=SimpleNamespace(to_string=str, FINISHED="FINISHED"),
        LifecycleStage=SimpleNamespace(ACTIVE="active"),
        Param=lambda key, value: SimpleNamespace(key=key, value=value),
        Metric=lambda key, value, timestamp, step: SimpleNamespace(key=key, value=value, step=step),
    )
    module = ModuleType("mlflow")
    module.MlflowClient, module.entities = Client, entities  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setattr(mlflow_handler, "mlflow", module)
    monkeypatch.setattr(Client, "runs", [])
    monkeypatch.setattr(Client, "logged", [])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Client


URI = "sqlite:///mlruns.db"


def test_mlflow_gets_the_rows(mlflow: type[Client], tmp_path: Path) -> None:
    engine = run(trainer([InstrumentsHandler(tmp_path, 2, mlflow_uri=URI)]), epochs=1, length=3)
    assert [(step, numbers["loss"]) for _, step, numbers in mlflow.logged] == [(2, 4.5), (3, 9.0)]
    row = engine.state.instruments  # type: ignore[attr-defined]
    assert mlflow.logged[-1][2].keys() == row.keys() - {"step", "epoch"}
    (made,) = mlflow.runs
    assert (made.info.experiment, made.info.status) == ("monai_dino", "FINISHED")
    assert made.info.run_name.startswith(tmp_path.name)


def test_mlflow_goes_on_in_the_run_of_the_same_folder(mlflow: type[Client], tmp_path: Path) -> None:
    def stopping(engine: Any) -> None:
        engine.terminate()

    stopped = trainer([InstrumentsHandler(tmp_path / "a", 2, mlflow_uri=URI)])
    stopped.add_event_handler("ITERATION_COMPLETED", lambda e: e.state.iteration == 2 and stopping(e))
    run(stopped, epochs=1, length=4)
    run(trainer([InstrumentsHandler(tmp_path / "a", 2, mlflow_uri=URI)]), epochs=1, length=4, start=2)
    run(trainer([InstrumentsHandler(tmp_path / "b" / "a", 2, mlflow_uri=URI)]), epochs=1, length=4)
    assert [(run_id, step) for run_id, step, _ in mlflow.logged] == [
        *[("run0", 2), ("run0", 4)],
        *[("run1", 2), ("run1", 4)],
    ]


def test_mlflow_gets_no_number_that_is_none(mlflow: type[Client], tmp_path: Path) -> None:
    import torch

    def overflowing(step: int) -> dict[str, Any]:
        return output_of(step, gradient_norms={"encoder": torch.tensor(float("inf"))})

    run(trainer([InstrumentsHandler(tmp_path, mlflow_uri=URI)], overflowing), epochs=1, length=1)
    assert "gradient_norm_encoder" not in mlflow.logged[0][2]


def test_missing_mlflow_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigurationError, match=r"mlflow_uri=.*pip install 'monai-dino\[mlflow\]'"):
        run(trainer([InstrumentsHandler(tmp_path, mlflow_uri=URI)]), epochs=1, length=1)


def test_address_that_mlflow_refuses(mlflow: type[Client], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="mlflow_uri=mlruns: MLflow no longer supports"):
        run(trainer([InstrumentsHandler(tmp_path, mlflow_uri="mlruns")]), epochs=1, length=1)


def test_a_server_that_is_away_is_warned_of_and_ends_nothing(
    mlflow: type[Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left alone for five minutes, or for ten times as long as it kept the training waiting."""
    whole, clock = Client.log_batch, {"now": 1000.0}

    def away(self: Client, run_id: str, metrics: list[Any], *rest: Any, **more: Any) -> None:
        clock["now"] += 100
        if metrics and metrics[0].step == 2:
            raise ConnectionError("refused")
        whole(self, run_id, metrics, *rest, **more)

    monkeypatch.setattr(Client, "log_batch", away)
    monkeypatch.setattr(instrument_writers, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
    engine = trainer([InstrumentsHandler(tmp_path, 1, mlflow_uri=URI)])
    engine.add_event_handler(Events.ITERATION_STARTED, lambda _: clock.update(now=clock["now"] + 400))
    run(engine, epochs=1, length=6)
    assert [step for _, step, _ in mlflow.logged] == [1, 5, 6]
    assert caplog.messages == [
        "MLflow could not be reached at step 2 (refused); no rows are sent for 17 minutes, they are in the CSV"
    ]
    assert len((tmp_path / "training.csv").read_text().splitlines()) == 7
