# SPDX-License-Identifier: Apache-2.0
"""What features are worth, as the bundles evaluate it."""

from __future__ import annotations

import json
from pathlib import Path
from pydoc import locate
from typing import Any

import numpy as np
import pytest
import torch
from bundle_runs import copy_bundle, read_table, run_bundle
from bundle_texts import read_config, targets_in
from common import TINY
from synthetic import write_stripes

from monai_dino.errors import ConfigurationError, DatalistError
from monai_dino.evaluation import classification_metric
from monai_dino.networks import DinoEncoder

SETTINGS: dict[str, Any] = {"image_size": 56, "precision": "fp32", "num_workers": 0, "num_slices": 3}
NEAREST = {"1-NN": {"_target_": "monai_dino.evaluation.KnnProbe", "k": 1}}
CONFIGS = ("knn", "linear_probe", "few_shot", "cross_validation")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder of random weights, as a folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "encoder"
    DinoEncoder(TINY["dinov2"]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("data") / "volumes")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle; the features of its first run serve the others."""
    return copy_bundle("dino_classification", tmp_path_factory.mktemp("bundles") / "classifier")


@pytest.mark.parametrize("config", ["knn", "linear_probe"])
def test_tests_once_on_the_test_cases(config: str, bundle: Path, volumes: Path, weights: Path, tmp_path: Path) -> None:
    run_bundle(bundle, config, dataset_dir=volumes, weights=weights, output_dir=tmp_path, **SETTINGS)
    rows = read_table(tmp_path / f"{config}.csv")
    assert [row["case"] for row in rows] == [f"case{k}" for k in range(8, 12)]
    content = json.loads((tmp_path / f"{config}.json").read_text())
    assert content["chosen_on"] == (0 if config == "knn" else 4)
    assert content["trained_on"] == 8 - content["chosen_on"]
    truth = np.array([("along", "across").index(row["truth"]) for row in rows])
    for method, summary in content["summary"].items():
        scores = np.array([[float(row[f"{method}: p_{name}"]) for name in ("along", "across")] for row in rows])
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
        assert summary["auroc"]["value"] == pytest.approx(classification_metric("auroc", scores, truth))
    assert "| auroc |" in (tmp_path / f"{config}.md").read_text()


def test_cross_validation_leaves_test_cases_alone(bundle: Path, volumes: Path, weights: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"folds": 2, "k": 1}
    run_bundle(bundle, "cross_validation", dataset_dir=volumes, weights=weights, output_dir=tmp_path, **settings)
    rows = read_table(tmp_path / "cross_validation.csv")
    assert [row["case"] for row in rows] == [f"case{k}" for k in range(8)]
    content = json.loads((tmp_path / "cross_validation.json").read_text())
    assert len(content["tests"]) == 3
    assert content["summary"]["k-NN"]["auroc"]["folds"] == 2
    assert (content["fingerprint"], content["image_size"]) != (None, None)


def test_few_shot_draws_its_curve(bundle: Path, volumes: Path, weights: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"shots": [1, 2, 16], "shares": [1.0], "seeds": 2, "probes": NEAREST}
    run_bundle(bundle, "few_shot", dataset_dir=volumes, weights=weights, output_dir=tmp_path, **settings)
    assert {row["patient"] for row in read_table(tmp_path / "few_shot.csv")} == {"p8", "p9"}
    content = json.loads((tmp_path / "few_shot.json").read_text())
    assert content["left_out"][0].startswith("16 per class: left out, since along has 4 patients")
    assert (tmp_path / "few_shot.png").stat().st_size > 10000


def test_pretrain_evaluates_its_teacher(volumes: Path, weights: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_pretrain", tmp_path / "encoder")
    DinoEncoder(weights=weights, in_channels=3).save_pretrained(bundle / "models" / "teacher")
    kept = {"image_size": 56, "modality": "mr", "window": None, "plane": "axial", "fill": None, "in_channels": 1}
    kept |= {"neighbours": 1}
    (bundle / "models" / "teacher" / "settings.json").write_text(json.dumps(kept))
    settings = {k: v for k, v in SETTINGS.items() if k != "image_size"}
    run_bundle(bundle, "evaluate", dataset_dir=volumes, folds=2, shots=[2], seeds=1, probes=NEAREST, **settings)
    taken = bundle / "models" / "teacher"
    here = copy_bundle("dino_classification", tmp_path / "classifier")
    run_bundle(
        here, "few_shot", dataset_dir=volumes, weights=taken, shots=[2], shares=[], seeds=1, probes=NEAREST, **settings
    )
    text = (here / "eval" / "few_shot.md").read_text()
    assert "Weights of the encoder: teacher (SHA-256 " in text
    assert text == (bundle / "eval" / "few_shot.md").read_text()
    written = {path.name for path in (bundle / "eval").iterdir()}
    names = {f"{name}.{ending}" for name in ("cross_validation", "few_shot") for ending in ("csv", "json", "md")}
    assert written >= names
    content = json.loads((bundle / "eval" / "few_shot.json").read_text())
    assert (content["image_size"], content["neighbours"]) == (56, 1)


def test_several_labels_of_each_case(bundle: Path, volumes: Path, weights: Path, tmp_path: Path) -> None:
    content = json.loads((volumes / "datalist.json").read_text())
    for k, item in enumerate(content["training"]):
        item["label"] = [item["label"], int(k % 4 < 2)]
        del item["fold"]
    for item in content["testing"]:
        item["label"] = [item["label"], 0]
    (tmp_path / "several.json").write_text(json.dumps(content))
    settings = SETTINGS | {"feature_dir": tmp_path / "features", "datalist": tmp_path / "several.json"}
    for config, changes in (("cross_validation", {"folds": 2, "k": 1}), ("linear_probe", {})):
        run_bundle(bundle, config, dataset_dir=volumes, weights=weights, output_dir=tmp_path, **settings, **changes)
        found = json.loads((tmp_path / f"{config}.json").read_text())
        assert set(found["summary"]["linear probe"]) == {
            *("auroc", "average_precision", "precision", "recall", "f1", "specificity")
        }
    rows = read_table(tmp_path / "cross_validation.csv")
    labels = [[int(row[f"truth_{name}"]) for name in ("along", "across")] for row in rows]
    assert labels == [item["label"] for item in content["training"]]


def test_slices_above_and_below_are_not_added_up(bundle: Path, volumes: Path, weights: Path, tmp_path: Path) -> None:
    DinoEncoder(weights=weights, in_channels=3).save_pretrained(tmp_path / "teacher")
    (tmp_path / "teacher" / "settings.json").write_text(json.dumps({"neighbours": 1, "in_channels": 1}))
    settings = SETTINGS | {"feature_dir": tmp_path / "features", "neighbours": 0}
    with pytest.raises(RuntimeError) as error:
        run_bundle(bundle, "knn", dataset_dir=volumes, weights=tmp_path / "teacher", **settings)
    assert "asked to take 1 channels; set neighbours=1 and in_channels=1" in str(
        _cause(error.value, ConfigurationError)
    )


def test_test_cases_without_labels_are_left_out(
    bundle: Path, volumes: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((volumes / "datalist.json").read_text())
    for item in content["testing"]:
        del item["label"]
    (tmp_path / "half.json").write_text(json.dumps(content))
    settings = SETTINGS | {"feature_dir": tmp_path / "features", "datalist": tmp_path / "half.json", "probes": NEAREST}
    few = settings | {"shots": [1], "shares": [], "seeds": 1}
    run_bundle(bundle, "few_shot", dataset_dir=volumes, encoder=TINY["dinov2"], output_dir=tmp_path, **few)
    assert "testing: none of the 4 cases has a label" in capsys.readouterr().err
    assert {row["case"] for row in read_table(tmp_path / "few_shot.csv")} <= {f"case{k}" for k in range(8)}
    assert "The encoder has random weights, for none were given" in (tmp_path / "few_shot.md").read_text()
    with pytest.raises(RuntimeError) as error:
        run_bundle(bundle, "knn", dataset_dir=volumes, weights=weights, **settings)
    assert "4 of 4 testing cases have no class: case8" in str(_cause(error.value, DatalistError))


def _cause(error: BaseException, kind: type[Exception]) -> BaseException:
    found: BaseException | None = error
    while found is not None and not isinstance(found, kind):
        found = found.__cause__
    assert found is not None, error
    return found


@pytest.mark.parametrize("config", ["knn", "linear_probe"])
def test_without_test_cases_no_encoder_runs(config: str, bundle: Path, weights: Path, tmp_path: Path) -> None:
    data = write_stripes(tmp_path / "data", pictures=True)
    content = json.loads((data / "datalist.json").read_text()) | {"testing": []}
    (data / "datalist.json").write_text(json.dumps(content))
    settings = SETTINGS | {"feature_dir": tmp_path / "features", "store_dir": tmp_path / "store"}
    with pytest.raises(RuntimeError) as error:
        run_bundle(bundle, config, dataset_dir=data, weights=weights, **settings)
    assert "no testing cases" in str(_cause(error.value, DatalistError))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("config", CONFIGS)
def test_targets_and_documents(config: str) -> None:
    written = read_config("dino_classification", config)
    assert all(callable(locate(target)) for target in targets_in(written))
    train = read_config("dino_classification", "train")
    assert all(written[key] == train[key] for key in ("modality", "num_slices", "datalist", "store_dir"))
    public = written["pretrained"]["defaults"]
    assert all(public[key] == train[key] for key in public.keys() - {"neighbours"})
