# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle_runs import (
    CLASSIFICATION,
    best_of_training,
    bundle_arguments,
    command,
    copy_bundle,
    read_summary,
    read_table,
    run_bundle,
)
from common import TINY
from PIL import Image
from synthetic import AFFINE, write_dicom_series, write_stripes, write_volume

from monai_dino.evaluation import report
from monai_dino.networks import DinoClassifier
from monai_dino.networks.encoders import DinoEncoder


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals have their own tests; a thousand draws of six metrics take seconds."""
    draw = report.bootstrap
    monkeypatch.setattr(report, "bootstrap", lambda *a, **k: draw(*a, **k | {"resamples": 50}))


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes."""
    return write_stripes(tmp_path_factory.mktemp("data") / "volumes")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PNG files."""
    return write_stripes(tmp_path_factory.mktemp("data") / "pictures", pictures=True)


@pytest.fixture(scope="module")
def trained(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classification bundle trained on the volumes; results are to be written elsewhere."""
    bundle = copy_bundle("dino_classification", tmp_path_factory.mktemp("bundles") / "classifier")
    run_bundle(bundle, "train", dataset_dir=stripes, **CLASSIFICATION)
    return bundle


def test_command_lines_of_the_documentation(tmp_path: Path) -> None:
    """Build a datalist of pictures by folder, copy out, train, evaluate and apply, from a folder of its own."""
    source = write_stripes(tmp_path / "source", pictures=True)
    for item in json.loads((source / "datalist.json").read_text())["training"]:
        target = tmp_path / "DATA" / ("along", "across")[item["label"]] / item["image"]
        target.parent.mkdir(parents=True, exist_ok=True)
        (source / item["image"]).rename(target)
    build = ["-m", "monai_dino", "datalist", "DATA", "--classes", "folder", "--test-share", "0.25", "--folds", "2"]
    for arguments in (build, ["-m", "monai_dino", "bundles", "dino_classification", "my_model"]):
        done = command(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    settings = {"encoder": TINY["dinov2"], "adaptation": "full", "image_size": 56, "epochs": 2}
    pictures = {"num_slices": 1, "modality": "us", "dataset_dir": "DATA"}
    trained = command(*bundle_arguments("my_model", "train", **settings, **pictures), cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr[-2000:]
    bundle = tmp_path / "my_model"
    assert (bundle / "models" / "model.pt").is_file()
    assert len(read_table(bundle / "runs" / "training.csv")) == 2
    kept = json.loads((bundle / "models" / "settings.json").read_text())
    assert (kept["num_slices"], kept["modality"], kept["class_names"]) == (1, "us", ["across", "along"])

    evaluated = command(*bundle_arguments("my_model", "evaluate", dataset_dir="DATA"), cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr[-2000:]
    assert json.loads((bundle / "eval" / "classification.json").read_text())["split"] == "testing"
    assert len(read_table(bundle / "eval" / "classification.csv")) == 2

    new = {"dataset_dir": "DATA/along", "output_dir": "RESULTS"}
    applied = command(*bundle_arguments("my_model", "inference", **new), cwd=tmp_path)
    assert applied.returncode == 0, applied.stderr[-2000:]
    assert len(read_table(tmp_path / "RESULTS" / "predictions.csv")) == 4


def test_training_leaves_the_network_and_its_settings(trained: Path) -> None:
    settings = json.loads((trained / "models" / "settings.json").read_text())
    names = ("encoder", "in_channels", "pooling", "slice_pooling", "adaptation", "image_size")
    network = DinoClassifier(out_channels=len(settings["class_names"]), **{name: settings[name] for name in names})
    network.load_state_dict(torch.load(trained / "models" / "model.pt", weights_only=True))
    assert settings["num_slices"] == 4
    assert len(read_table(trained / "runs" / "training.csv")) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": "cls", "slice_pooling": "max"},
        {"slice_pooling": "att", "num_slices": 7},
        {"slice_pooling": "att_trans", "plane": "coronal", "learning_rate": 0.001},
        {"modality": "ct", "window": [40, 160], "flip_prob": 0.5, "fold": 1},
        {"adaptation": {"mode": "full", "freeze_blocks": 1}, "image_size": 28},
    ],
    ids=lambda s: ",".join(s) or "none",
)
def test_settings_reach_evaluation(settings: dict[str, Any], stripes: Path, tmp_path: Path) -> None:
    """Evaluation on the validation fold gives the best AUROC of training."""
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    run_bundle(bundle, "train", dataset_dir=stripes, **CLASSIFICATION | settings)
    run_bundle(bundle, "evaluate", dataset_dir=stripes, split="validation", precision="fp32")
    auroc = read_summary(bundle / "eval" / "classification.json")["all"]["auroc"]["value"]
    assert auroc == pytest.approx(best_of_training(bundle, "val_auroc"), abs=1e-6)
    fold = settings.get("fold", 0)
    cases = [row["case"] for row in read_table(bundle / "eval" / "classification.csv")]
    assert cases == [f"case{k}" for k in range(8) if k // 2 % 2 == fold]


def _auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    """The share of pairs of a positive and a negative case that are in order."""
    pairs = scores[truth == 1][:, None] - scores[truth == 0][None]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_report_agrees_with_its_table(trained: Path, stripes: Path, tmp_path: Path) -> None:
    for split, count, patients in (("testing", 4, 2), ("training", 4, 4)):
        run_bundle(trained, "evaluate", dataset_dir=stripes, split=split, output_dir=tmp_path / split)
        rows = read_table(tmp_path / split / "classification.csv")
        assert (len(rows), len({row["patient"] for row in rows})) == (count, patients)
        p = np.array([[float(row["p_along"]), float(row["p_across"])] for row in rows])
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
        truth = np.array([("along", "across").index(row["truth"]) for row in rows])
        assert [row["prediction"] for row in rows] == [("along", "across")[k] for k in p.argmax(axis=1)]
        hits = p.argmax(axis=1) == truth
        wanted = {
            "auroc": _auroc(p[:, 1], truth),
            "accuracy": hits.mean(),
            "balanced_accuracy": np.mean([hits[truth == k].mean() for k in (0, 1)]),
            "recall": np.mean([hits[truth == k].mean() for k in (0, 1)]),
        }
        summary = read_summary(tmp_path / split / "classification.json")["all"]
        for metric, value in wanted.items():
            assert summary[metric]["value"] == pytest.approx(value, abs=1e-12), metric
        assert all(e["n"] == count for e in summary.values())
        assert all(e["low"] <= e["value"] <= e["high"] for e in summary.values() if e["low"] is not None)


def test_inference_gives_the_probabilities_of_evaluation(trained: Path, stripes: Path, tmp_path: Path) -> None:
    run_bundle(trained, "evaluate", dataset_dir=stripes, output_dir=tmp_path / "eval", precision="fp32")
    run_bundle(trained, "inference", dataset_dir=stripes, output_dir=tmp_path / "out", precision="fp32")
    predictions = {row["case"]: row for row in read_table(tmp_path / "out" / "predictions.csv")}
    assert set(predictions) == {f"case{k}" for k in range(12)}
    evaluated = read_table(tmp_path / "eval" / "classification.csv")
    assert len(evaluated) == 4
    for row in evaluated:
        other = predictions[row["case"]]
        assert other["prediction"] == row["prediction"]
        for name in ("p_along", "p_across"):
            assert float(other[name]) == pytest.approx(float(row[name]), abs=1e-5)


def test_training_tells_the_classes_apart(pictures: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    settings = CLASSIFICATION | {"num_slices": 1, "modality": "us", "epochs": 15, "batch_size": 2, "val_interval": 5}
    run_bundle(bundle, "train", dataset_dir=pictures, **settings)
    losses = [float(row["loss"]) for row in read_table(bundle / "runs" / "training.csv")]
    assert losses[-1] < 0.7 * losses[0]
    run_bundle(bundle, "evaluate", dataset_dir=pictures, split="validation", precision="fp32")
    auroc = read_summary(bundle / "eval" / "classification.json")["all"]["auroc"]["value"]
    assert auroc == pytest.approx(best_of_training(bundle, "val_auroc"), abs=1e-6)


def test_forms_of_a_volume_are_classified_alike(trained: Path, tmp_path: Path) -> None:
    """A DICOM series, its NIfTI copies and a picture, in one folder."""
    rng = np.random.default_rng(0)
    volume = (100 + 60 * np.sin(np.indices((28, 24, 5))[1]) + rng.normal(0, 10, (28, 24, 5))).round()
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    write_dicom_series(tmp_path / "in" / "series", volume.astype(np.int16), affine)
    write_volume(tmp_path / "in" / "copy.nii.gz", volume.astype(np.float32), affine)
    turned = affine @ np.array([[0, -1, 0, 27], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    write_volume(tmp_path / "in" / "turned.nii.gz", np.rot90(volume, k=-1).astype(np.float32).copy(), turned)
    write_volume(tmp_path / "in" / "other.nii.gz", np.rot90(volume, k=-1).astype(np.float32).copy(), affine)
    Image.fromarray(volume[..., 2].T.clip(0, 255).astype(np.uint8)).save(tmp_path / "in" / "picture.png")
    run_bundle(trained, "inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out", precision="fp32")
    p = {row["case"]: float(row["p_across"]) for row in read_table(tmp_path / "out" / "predictions.csv")}
    assert set(p) == {"series", "copy", "turned", "other", "picture"}
    assert p["series"] == pytest.approx(p["copy"], abs=1e-6)
    assert p["turned"] == pytest.approx(p["copy"], abs=1e-6)
    assert abs(p["other"] - p["copy"]) > 1e-4


@pytest.mark.parametrize("adaptation", ["frozen", {"mode": "lora", "rank": 2}])
def test_adaptations_train_and_are_applied(adaptation: Any, stripes: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = DinoEncoder(TINY["dinov2"])
    encoder.save_pretrained(tmp_path / "weights")
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    settings = CLASSIFICATION | {"adaptation": adaptation, "encoder": None, "weights": tmp_path / "weights"}
    run_bundle(bundle, "train", dataset_dir=stripes, **settings)
    before = DinoClassifier(None, adaptation=adaptation, weights=tmp_path / "weights").encoder.state_dict()
    after = torch.load(bundle / "models" / "model.pt", weights_only=True)
    prefix = "bag.net.encoder."
    changed = {k.removeprefix(prefix) for k in after if k.startswith(prefix)}
    changed = {k for k in changed if not torch.equal(before[k], after[prefix + k])}
    if adaptation == "frozen":
        assert not changed
    else:
        assert changed >= {k for k in before if "lora_B" in k} != set()
        assert all("lora_" in k for k in changed)
    run_bundle(bundle, "evaluate", dataset_dir=stripes, split="validation", precision="fp32")
    auroc = read_summary(bundle / "eval" / "classification.json")["all"]["auroc"]["value"]
    assert auroc == pytest.approx(best_of_training(bundle, "val_auroc"), abs=1e-6)


def test_stops_early_without_improvement(stripes: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    still = CLASSIFICATION | {"epochs": 5, "learning_rate": 0.0, "encoder_learning_rate": 0.0}
    run_bundle(bundle, "train", dataset_dir=stripes, patience=2, **still)
    assert len(read_table(bundle / "runs" / "training.csv")) == 3


def test_stops_when_the_time_is_over(stripes: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    settings = CLASSIFICATION | {"epochs": 1000, "batch_size": 2, "val_interval": 3}
    workflow = run_bundle(bundle, "train", dataset_dir=stripes, max_minutes=1e-6, **settings)
    assert workflow.trainer.state.iteration == 1
    assert (bundle / "models" / "model.pt").is_file()


def test_training_repeats_whatever_the_workers(stripes: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    settings = CLASSIFICATION | {"epochs": 2, "batch_size": 2}
    states = {}
    for run, seed, workers in (("a", 5, 0), ("b", 5, 2), ("c", 6, 0)):
        options = settings | {"num_workers": workers}
        run_bundle(bundle, "train", dataset_dir=stripes, seed=seed, ckpt_dir=tmp_path / run, **options)
        states[run] = torch.load(tmp_path / run / "model.pt", weights_only=True)
    assert all(torch.equal(states["a"][k], states["b"][k]) for k in states["a"])
    assert not all(torch.equal(states["a"][k], states["c"][k]) for k in states["a"])


def test_three_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    items = []
    for index in range(9):
        image = rng.normal(100, 10, (20, 20, 3)) + 50 * (np.indices((20, 20, 3))[0] < 5 * (index % 3 + 1))
        write_volume(tmp_path / "data" / f"c{index}.nii.gz", image.astype(np.float32), AFFINE)
        items.append({"image": f"c{index}.nii.gz", "label": index % 3, "fold": index // 3})
    content = {"modality": "mr", "labels": {"0": "a", "1": "b", "2": "c"}, "training": items}
    (tmp_path / "data" / "datalist.json").write_text(json.dumps(content))
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    run_bundle(bundle, "train", dataset_dir=tmp_path / "data", **CLASSIFICATION)
    run_bundle(bundle, "evaluate", dataset_dir=tmp_path / "data", split="validation", precision="fp32")
    rows = read_table(bundle / "eval" / "classification.csv")
    p = np.array([[float(row[f"p_{k}"]) for k in "abc"] for row in rows])
    wanted = np.mean([_auroc(p[:, k], (np.arange(3) == k).astype(int)) for k in range(3)])
    auroc = read_summary(bundle / "eval" / "classification.json")["all"]["auroc"]["value"]
    assert auroc == pytest.approx(wanted)
    assert auroc == pytest.approx(best_of_training(bundle, "val_auroc"), abs=1e-6)
