# SPDX-License-Identifier: Apache-2.0
"""Misspelt settings of ``python -m monai.bundle run``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundle_runs import clean_process, copy_bundle, messages_of, open_bundle

from monai_dino.commands.bundles import bundles_path
from monai_dino.console import refuse_unknown_settings
from monai_dino.errors import ConfigurationError

PROGRAM = "/somewhere/site-packages/monai/bundle/__main__.py"
CONFIGS = bundles_path() / "dino_pretrain" / "configs"
TRAIN = str(CONFIGS / "train.json")


def check(*arguments: str, config_file: str = TRAIN) -> None:
    refuse_unknown_settings([PROGRAM, "run", "--config_file", config_file, *arguments])


@pytest.mark.parametrize("name", ["dino_pretrain", "dino_segmentation", "dino_classification"])
@pytest.mark.parametrize(
    ("arguments", "found", "near"),
    [
        (["--epoch", "5"], "epoch", "epochs"),
        (["--epoch=5"], "epoch", "epochs"),
        (["--batchsize", "8", "--seed", "1"], "batchsize", "batch_size"),
        (["--data-set-dir", "DATA"], "data_set_dir", "dataset_dir"),
        (["--trian::trainer::max_epochs", "5"], "trian::trainer::max_epochs", "train"),
        (["--network_defs#preset", "dino"], "network_defs#preset", "network_def"),
        (["--config_files", "train.json"], "config_files", "config_file"),
        (["--weigths"], "weigths", "weights"),
    ],
)
def test_a_misspelt_setting_is_refused(name: str, arguments: list[str], found: str, near: str) -> None:
    config = str(bundles_path() / name / "configs" / "train.json")
    with pytest.raises(ConfigurationError) as error:
        check(*arguments, config_file=config)
    assert str(error.value).startswith(f"{found}: no setting of {config}, ")
    assert str(error.value).endswith(f"did you mean {near}?")


@pytest.mark.parametrize(
    ("key", "text", "word"),
    [
        ("resume", "false", "False"),
        ("network_def::norm_last_layer", "TRUE", "True"),
        ("fold", "null", "None"),
        ("tracking", "false", "False"),
    ],
)
def test_text_that_stands_for_a_value_is_refused(key: str, text: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{key}={text}: is text to MONAI; write --{key} {word}$"):
        check(f"--{key}", text)


def test_all_are_named_and_what_is_near_to_none_is_looked_up() -> None:
    with pytest.raises(ConfigurationError) as error:
        check("--epoch", "5", "--quux", "1")
    first, second = str(error.value).splitlines()
    assert first.startswith("epoch: ")
    assert second.startswith("quux: ")
    assert second.endswith("docs/README.md lists its settings")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--epochs", "5", "--batch-size=8", "--dataset_dir", "--weights"],
        ["--learning_rate", "-1e-3", "--noresume"],
        ["--train::trainer::max_epochs", "5", "--train#trainer#max_epochs=6", "--network_def::koleo_weight", "0.2"],
        ["--meta_file", "m.json", "--logging_file", "l.conf", "--workflow_type", "train", "--properties_path", "p"],
        ["--run_id", "mine", "--mine", "$print(@epochs)", "--init_id", "begin::all", "--begin", "{'all': []}"],
        ["--half", "3", "--epochs", "$@half * 2"],
        ["--steps", "{'half': 3}", "--epochs", "$@steps::half * 2"],
        ["--more", "$import numpy as np", "--epochs", "$np.int64(3)"],
        ["--_meta_::version", "1.0"],
        ["--tracking", "mlflow", "--experiment_name", "one"],
        ["--workflow_name", "my.Workflow", "--mine", "1"],
        ["--network_def", "%other.json#network", "--mine", "1"],  # which may refer to @mine
        ["--epoch", "5", "--", "--trace"],
    ],
)
def test_legal_commands_pass(arguments: list[str]) -> None:
    check(*arguments)


def test_a_setting_may_be_that_of_any_file(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({"encoder": "@mine", "other": 1, "train::trainer::x": "@##own"}))
    two = str([TRAIN, str(tmp_path / "mine.json")])
    check("--other", "2", "--mine", "vit", "--own", "1", "--seed", "1", config_file=two)
    check("--config_file", two, "--other", "2")  # the last one counts
    with pytest.raises(ConfigurationError, match="other: no setting"):
        check("--other", "2")
    with pytest.raises(ConfigurationError, match=r"others: no setting of \[.*did you mean other\?$"):
        check("--others", "2", config_file=two)


@pytest.mark.parametrize("written", [json.dumps, yaml.safe_dump])
def test_settings_in_a_file_of_arguments(written: Any, tmp_path: Path) -> None:
    path = tmp_path / "arguments.yaml"
    path.write_text(written({"config_file": TRAIN, "epochs": 5, "run_id": "mine"}))
    refuse_unknown_settings([PROGRAM, "run", "--args_file", str(path), "--seed", "1", "--mine", "$1"])
    path.write_text(written({"config_file": TRAIN, "epoch": 5}))
    with pytest.raises(ConfigurationError, match=r"epoch: no setting of .*did you mean epochs\?$"):
        refuse_unknown_settings([PROGRAM, "run", "--args_file", str(path), "--seed", "1"])


def test_arguments_without_a_name(tmp_path: Path) -> None:
    words = ["mine", "begin", "end", str(tmp_path / "metadata.json"), TRAIN]
    refuse_unknown_settings([PROGRAM, "run", *words, "--mine", "1", "--begin", "1", "--end", "1"])
    with pytest.raises(ConfigurationError, match="epoch: no setting"):
        refuse_unknown_settings([PROGRAM, "run", *words, "--epoch", "1"])


@pytest.mark.parametrize(
    "argv",
    [
        ["/bin/pytest", "run", "--config_file", TRAIN, "--epoch", "5"],
        ["-c"],
        [PROGRAM],
        [PROGRAM, "run"],
        [PROGRAM, "run", "--epoch", "5"],
        [PROGRAM, "ckpt_export", "--config_file", TRAIN, "--epoch", "5"],
    ],
)
def test_other_programs_are_left_alone(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    refuse_unknown_settings(argv)
    assert capsys.readouterr() == ("", "")


def test_a_bundle_stops_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = copy_bundle("dino_pretrain", tmp_path / "encoder")
    workflow = open_bundle(bundle, "train", dataset_dir=tmp_path / "nowhere", epoch=5)
    config = str(bundle / "configs" / "train.json")
    monkeypatch.setattr(sys, "argv", [PROGRAM, "run", "--config_file", config, "--dataset_dir=nowhere", "--epoch", "5"])
    with clean_process(), pytest.raises(RuntimeError) as error:
        workflow.initialize()
    assert "epoch: no setting of" in messages_of(error.value)
    assert {path.name for path in bundle.iterdir()} == {"LICENSE", "configs", "docs"}
