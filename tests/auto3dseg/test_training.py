# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml
from auto3dseg_runs import config_of, generated, source_of
from bundle_runs import best_of_training, clean_process, read_summary, read_table

from monai_dino.auto3dseg.inference import InferClass
from monai_dino.auto3dseg.training import _progress, accepted, read_yaml, train, validate
from monai_dino.errors import ConfigurationError, InputError, WeightsError
from monai_dino.files import write_csv


def cause(error: BaseException) -> BaseException:
    """The error below those that MONAI's parser wraps around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def test_progress_is_that_of_the_training(trained: Path) -> None:
    progress, rows = read_yaml(trained / "progress.yaml"), read_table(trained / "runs" / "training.csv")
    assert [entry["epoch"] for entry in progress] == [1, 2, 3]
    assert [entry["avg_dice_score"] for entry in progress] == [float(row["val_mean_dice"]) for row in rows]
    best = best_of_training(trained, "val_mean_dice")
    assert progress[-1]["best_avg_dice_score"] == best > 0.4
    assert progress[progress[-1]["best_avg_dice_score_epoch"] - 1]["avg_dice_score"] == best


def test_validation_repeats_the_best(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a copy"
    shutil.copytree(trained, folder)
    with clean_process():
        dice = validate(config_of(folder), precision="fp32")
    assert dice == pytest.approx(best_of_training(trained, "val_mean_dice"), abs=1e-6)
    assert read_yaml(folder / "progress.yaml")[-1] == {"validated": True, "best_avg_dice_score": dice}
    assert read_summary(folder / "eval" / "segmentation.json")["ball"]["dice"]["n"] == 2


def test_validation_of_other_cases(trained: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"split=testing: an algorithm's score is that of its validation"):
        validate(config_of(trained), split="testing")


def test_a_training_that_fails_leaves_no_score(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "w")
    state = tmp_path / "w" / "algo_object.json"
    before = json.loads(state.read_text())
    state.write_text(json.dumps(before | {"best_metric": 0.9}))  # as AutoRunner adds it after a training
    with pytest.raises(RuntimeError) as error, clean_process():
        train(config_of(tmp_path / "w"), image_size=30)
    assert isinstance(cause(error.value), ConfigurationError)
    assert not (tmp_path / "w" / "progress.yaml").exists()
    assert json.loads(state.read_text()) == before


def test_paths_that_monai_reads_otherwise(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "run #1")
    for call in (train, validate, InferClass):
        with pytest.raises(ConfigurationError, match=r"the algorithm's folder: .*/run #1 has a #, which MONAI takes"):
            call(config_of(folder))
    settings = Path(config_of(shutil.copytree(trained, tmp_path / "w")))
    settings.write_text(settings.read_text().replace("dataset_dir: ", "dataset_dir: /a#b"))
    with pytest.raises(ConfigurationError, match=r"dataset_dir: /a#b.* has a #"):
        train(str(settings))


def test_weights_that_cannot_be_had(
    some_balls: Path, datastats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    source = source_of(some_balls)
    del source["weights"]
    (tmp_path / "input.yaml").write_text(json.dumps(source))
    algo = generated(tmp_path / "w", datastats, tmp_path / "input.yaml")
    with pytest.raises(RuntimeError) as error, clean_process():
        train(config_of(Path(algo.output_path)))
    assert isinstance(found := cause(error.value), WeightsError)
    assert "there is no folder 'facebook/dinov2-small' here, and the Hugging Face hub did not give" in str(found)


def test_parameters_of_other_algorithms() -> None:
    given: dict[str, Any] = {"num_epochs": 2, "num_epochs_per_validation": 3, "learning_rate": 0.1, "trainer": 1}
    with pytest.warns(UserWarning, match=r"^training parameters that the bundle does not have are ignored: trainer$"):
        known = accepted(given, "train", "training parameters")
    assert known == {"epochs": 2, "val_interval": 3, "learning_rate": 0.1}
    steps = {"postprocessing_steps": ["largest"]}
    assert accepted(steps, "evaluate", "validation parameters") == steps
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert accepted(known, "train", "training parameters") == known


def test_undefined_dice(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": 0.5, "val_mean_dice": float("nan")}, {"epoch": 2, "loss": 0.4}]
    write_csv(tmp_path / "training.csv", rows)
    with pytest.raises(InputError, match="the Dice of the validation cases was never defined"):
        _progress(tmp_path / "training.csv")
    write_csv(tmp_path / "training.csv", [*rows, {"epoch": 3, "loss": 0.3, "val_mean_dice": 0.0}])
    assert [entry["best_avg_dice_score"] for entry in _progress(tmp_path / "training.csv")][-1] == 0


def test_yaml_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[1, 2")
    for name in ("a.yaml", "b.yaml"):
        with pytest.raises(ConfigurationError, match=rf"{name}: cannot be read .*; generate the algorithms again"):
            read_yaml(tmp_path / name)
    (tmp_path / "a.yaml").write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(ConfigurationError):
        read_yaml(tmp_path / "a.yaml")
    assert yaml.safe_load("a: 1") == {"a": 1}
