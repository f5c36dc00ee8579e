# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from pretraining import ARCHITECTURE, tiny_store, tiny_trainer
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from synthetic import write_stripes
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from two_processes import on_two_processes

from monai_dino.data import CaseSlices, SliceStore, labelled_slices
from monai_dino.errors import ConfigurationError, InputError, NetworkError
from monai_dino.handlers import PeriodicKnnHandler, RunCheckpointHandler
from monai_dino.networks import DinoEncoder
from monai_dino.ssl.training_state import training_tensors

FOLDER = "FOLDER_OF_PERIODIC_KNN"
NAMES = ("knn_balanced_accuracy", "knn_accuracy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unlabelled and labelled cases, stored; a training takes seconds."""
    root = tmp_path_factory.mktemp("knn")
    tiny_store(root / "unlabelled")
    stripes(write_stripes(root / "stripes"))
    return root


def stripes(root: Path) -> CaseSlices:
    return labelled_slices("datalist.json", root, root / "store", image_size=32, slices_per_case=2)


def knn(folder: Path, output: Path, **options: Any) -> PeriodicKnnHandler:
    return PeriodicKnnHandler(stripes(folder / "stripes"), output, k=3, precision="fp32", **options)


def training(folder: Path, *handlers: Any, **options: Any) -> Any:
    return tiny_trainer(tiny_store(folder / "unlabelled"), handlers=lambda _: handlers, **options)


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "knn.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def expected(encoder: DinoEncoder, slices: CaseSlices) -> list[float]:
    with torch.no_grad():
        cls = encoder(torch.stack([slices[i]["image"].as_subclass(torch.Tensor) for i in range(len(slices))])).cls
    vectors = cls.unflatten(0, (-1, 2)).mean(dim=1).numpy()
    labels = [item["label"] for item in slices.items]
    peer = KNeighborsClassifier(3, metric="cosine", algorithm="brute")
    told = cross_val_predict(peer, vectors, labels, groups=slices.patients, cv=LeaveOneGroupOut())
    return [float(balanced_accuracy_score(labels, told)), float(accuracy_score(labels, told))]


def random_states() -> list[Any]:
    numpy_state: Any = np.random.get_state()  # noqa: NPY002 - the state that others draw from
    return [torch.get_rng_state().tolist(), random.getstate(), numpy_state[1].tolist()]


def test_tells_what_scikit_learn_tells(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = knn(folder, tmp_path)
    trainer = training(folder, handler)
    first = expected(trainer.network.average.encoder, handler.slices)
    trainer.run()
    last = expected(trainer.network.average.encoder, handler.slices)
    assert [trainer.state.metrics[name] for name in NAMES] == pytest.approx(last)
    found = rows(tmp_path)
    assert [(row["step"], row["epoch"]) for row in found] == [("0", "0"), ("5", "1"), ("10", "2")]
    assert [float(found[0][name]) for name in NAMES] == pytest.approx(first)
    assert [float(found[2][name]) for name in NAMES] == pytest.approx(last)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("3-NN after epoch")]
    assert len(said) == 3
    assert f"balanced accuracy {last[0]:.3f} ({first[0]:.3f} before training)" in said[2]
    assert "of 8 cases" in said[0]


@pytest.mark.parametrize("options", [{}, {"workers": 1}, {"preset": "dino", "adaptation": {"mode": "lora", "rank": 2}}])
def test_training_is_the_same_bit_for_bit(folder: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    made = []
    for handlers in ([], [knn(folder, tmp_path, cache=False)]):
        trainer = training(folder, *handlers, **options)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - the state that others draw from
        losses: list[float] = []
        modes: list[Any] = []

        @trainer.on(Events.ITERATION_COMPLETED)
        def note(engine: Any, losses: list[float] = losses, modes: list[Any] = modes) -> None:
            losses.append(float(engine.state.output["loss"]))
            modes.append([module.training for module in engine.network.modules()])

        trainer.run()
        tensors = training_tensors(trainer.network, trainer.optimizer)
        made.append(({name: t.detach().clone() for name, t in tensors.items()}, losses, modes, random_states()))
    without, with_knn = made
    assert without[0].keys() == with_knn[0].keys()
    assert all(torch.equal(value, with_knn[0][name]) for name, value in without[0].items())
    assert without[1:] == with_knn[1:]
    assert len(rows(tmp_path)) == 3


def test_every_so_many_epochs_and_metrics_do_not_grow_old(folder: Path, tmp_path: Path) -> None:
    trainer = training(folder, knn(folder, tmp_path, interval=3), epochs=5)
    seen = {}
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: seen.update({e.state.epoch: set(e.state.metrics)}))
    trainer.run()
    assert [row["step"] for row in rows(tmp_path)] == ["0", "15", "25"]
    assert {epoch: bool(names & set(NAMES)) for epoch, names in seen.items()} == {
        1: False, 2: False, 3: True, 4: False, 5: True,
    }  # fmt: skip


@pytest.mark.parametrize("stop", [2, 5, 8])
def test_a_run_that_is_taken_up_again_has_no_step_twice(folder: Path, tmp_path: Path, stop: int) -> None:
    training(folder, knn(folder, tmp_path / "whole")).run()

    def run(fail: bool) -> None:
        checkpoints = RunCheckpointHandler(tmp_path / "models", interval=2 if stop != 5 else 5)
        trainer = training(folder, knn(folder, tmp_path / "parts"), checkpoints)
        checkpoints.take_up(trainer)
        if fail:

            def stopped(engine: Engine) -> None:
                if engine.state.iteration == stop:
                    raise KeyboardInterrupt

            trainer.add_event_handler(Events.ITERATION_COMPLETED, stopped)
        trainer.run()

    with pytest.raises(KeyboardInterrupt):
        run(fail=True)
    run(fail=False)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    run(fail=False)  # it had ended
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_what_was_measured_before_an_interruption_is_known_again(folder: Path, tmp_path: Path) -> None:
    """The row may be written, and the run stopped before another handler looked at it."""
    checkpoints = RunCheckpointHandler(tmp_path / "models", interval=5, score=NAMES[0])
    training(folder, knn(folder, tmp_path), checkpoints, epochs=1).run()
    content = rows(tmp_path)
    again = RunCheckpointHandler(tmp_path / "models", interval=5, score=NAMES[0])
    trainer = training(folder, knn(folder, tmp_path), again, epochs=2)
    again.take_up(trainer)
    again.best = None
    seen: list[dict[str, float]] = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda e: seen.append(dict(e.state.metrics)))
    trainer.run()
    assert [seen[0][name] for name in NAMES] == [float(content[1][name]) for name in NAMES]
    assert rows(tmp_path)[:2] == content


def test_a_new_run_begins_a_new_table(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "knn.csv").write_text("step,epoch,knn_balanced_accuracy,knn_accuracy\r\n0,0,0.99,0.99\r\n7,1,1,1\r\n")
    training(folder, knn(folder, tmp_path), epochs=1).run()
    assert [row["step"] for row in rows(tmp_path)] == ["0", "5"]
    assert rows(tmp_path)[0]["knn_accuracy"] != "0.99"


def test_features_that_are_not_finite_name_the_case(folder: Path, tmp_path: Path) -> None:
    trainer = training(folder, knn(folder, tmp_path))
    with torch.no_grad():
        next(trainer.network.average.encoder.norm.parameters()).fill_(torch.nan)
    with pytest.raises(NetworkError, match="case0: the features of slice 1 are not finite"):
        trainer.run()


def test_what_cannot_work_is_said_before_training(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="interval=0"):
        knn(folder, tmp_path, interval=0)
    root = folder / "stripes"
    store = SliceStore([{"image": str(root / "case0.nii.gz"), "label": 0}], tmp_path / "store", progress=False)
    with pytest.raises(ConfigurationError, match="class_names"):
        PeriodicKnnHandler(CaseSlices(store), tmp_path)
    content = json.loads((root / "datalist.json").read_text())
    for item in content["training"]:
        item["patient"] = "one" if item["label"] else item["patient"]
    (tmp_path / "alone.json").write_text(json.dumps(content))
    alone = labelled_slices(tmp_path / "alone.json", root, tmp_path / "store", image_size=32)
    with pytest.raises(InputError, match="only one patient has across"):
        PeriodicKnnHandler(alone, tmp_path)


def on_each_process() -> dict[str, torch.Tensor]:
    found = {}
    for kind in ("whole", "sharded"):
        torch.manual_seed(0)
        encoder = DinoEncoder(ARCHITECTURE).requires_grad_(False).eval()
        if kind == "sharded":
            mesh = init_device_mesh("cpu", (2,))
            for module in (*encoder.blocks, encoder):
                fully_shard(module, mesh=mesh, reshard_after_forward=True)
        engine = Engine(lambda engine, batch: None)
        engine.network = SimpleNamespace(average=SimpleNamespace(encoder=encoder))
        folder = Path(os.environ[FOLDER])
        knn(folder, folder / kind, batch_size=3).attach(engine)
        engine.run([0, 1], max_epochs=2)
        found[kind] = torch.tensor([engine.state.metrics[name] for name in NAMES])
    return found


def test_two_processes_agree_whole_and_sharded(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(folder))
    torch.manual_seed(0)
    alone = expected(DinoEncoder(ARCHITECTURE).eval(), stripes(folder / "stripes"))
    for found in on_two_processes(on_each_process, tmp_path):
        for kind in ("whole", "sharded"):
            torch.testing.assert_close(found[kind], torch.tensor(alone))
            assert [row["step"] for row in rows(folder / kind)] == ["0", "2", "4"]
