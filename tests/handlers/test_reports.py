# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from torch import nn

from monai_dino.errors import ConfigurationError
from monai_dino.evaluation import bootstrap, classification_metric, report, segmentation_metrics
from monai_dino.handlers import ClassificationReportHandler, SegmentationReportHandler
from monai_dino.inferers import SlicewiseInferer

AFFINE = torch.diag(torch.tensor([-2.0, 1.5, 4.0, 1.0], dtype=torch.float64))
NAMES = ["background", "kidney", "tumour"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def evaluate(data: list[dict[str, Any]], handler: Any, batch_size: int = 1, **options: Any) -> None:
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data), batch_size=batch_size),
        network=nn.Identity(),
        val_handlers=[handler],
        **options,
    ).run()


def volumes() -> list[dict[str, Any]]:
    """Logits as images, so that the identity segments them; two cases of one patient, a class that is absent."""
    rng = np.random.default_rng(0)
    items = []
    for index in range(4):
        label = rng.integers(2 if index == 0 else 3, size=(1, 6, 7, 3)).astype(np.uint8)
        logits = rng.normal(size=(3, 6, 7, 3)) + 3 * np.eye(3)[label[0]].transpose(3, 0, 1, 2)
        if index == 0:
            logits[2] = -9
        image = MetaTensor(torch.from_numpy(logits).float(), affine=AFFINE)
        items.append({"image": image, "label": MetaTensor(torch.from_numpy(label), affine=AFFINE)})
        items[-1] |= {"case": f"case{index}", "patient": f"p{index // 2}"}
    return items


def test_segmentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = volumes()
    handler = SegmentationReportHandler(tmp_path / "eval", NAMES, {"split": "testing"})
    for _ in range(2):  # a second run starts afresh
        evaluate(data, handler, inferer=SlicewiseInferer(output="labels", precision="fp32"))
    rows = read(tmp_path / "eval" / "segmentation.csv")
    assert len(rows) == 8
    for item, pair in zip(data, zip(rows[::2], rows[1::2], strict=True), strict=True):
        prediction = item["image"].as_subclass(torch.Tensor).argmax(dim=0)
        measured = segmentation_metrics(prediction, item["label"].as_subclass(torch.Tensor)[0], 3, (2.0, 1.5, 4.0))
        for number, row in enumerate(pair, start=1):
            assert (row["case"], row["patient"], row["class"]) == (item["case"], item["patient"], NAMES[number])
            for name, value in measured[number].items():
                assert float(row[name]) == pytest.approx(value, nan_ok=True)
    assert math.isnan(float(rows[1]["dice"]))

    document = json.loads((tmp_path / "eval" / "segmentation.json").read_text())
    assert document["split"] == "testing"
    assert list(document["summary"]) == ["kidney", "tumour", "mean"]
    for name, row in (("kidney", 0), ("tumour", 1)):
        values = np.array([float(r["dice"]) for r in rows[row::2]])
        found = document["summary"][name]["dice"]
        assert found["value"] == pytest.approx(np.nanmean(values))
        assert found["n"] == np.isfinite(values).sum()
        assert found["low"] <= found["value"] <= found["high"]
    assert f"wrote {tmp_path / 'eval' / 'segmentation.csv'}" in capsys.readouterr().out


def test_segmentation_needs_class_numbers(tmp_path: Path) -> None:
    handler = SegmentationReportHandler(tmp_path, NAMES)
    with pytest.raises(ConfigurationError, match="pred: has 3 channels, expected one of class numbers"):
        evaluate(volumes(), handler, inferer=SlicewiseInferer(output="probabilities"))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "bootstrap", lambda *args, resamples: bootstrap(*args, resamples=20))


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("batch_size", [1, 4])
def test_classification(batch_size: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(size=(10, 3)), np.arange(10) % 3
    data = [
        {"image": torch.from_numpy(z), "label": int(k), "case": f"case{i}", "patient": f"p{i // 2}"}
        for i, (z, k) in enumerate(zip(logits, truth, strict=True))
    ]
    names = ["axial", "coronal", "sagittal"]
    evaluate(data, ClassificationReportHandler(tmp_path, names, {"fold": 3}), batch_size)
    rows = read(tmp_path / "classification.csv")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for i, row in enumerate(rows):
        assert (row["case"], row["patient"], row["truth"]) == (f"case{i}", f"p{i // 2}", names[truth[i]])
        assert row["prediction"] == names[logits[i].argmax()]
        assert [float(row[f"p_{name}"]) for name in names] == pytest.approx(probabilities[i], abs=1e-6)
    assert len(rows) == 10

    document = json.loads((tmp_path / "classification.json").read_text())
    assert document["fold"] == 3
    for name, found in document["summary"]["all"].items():
        assert found["value"] == pytest.approx(classification_metric(name, probabilities, truth))
        assert found["n"] == 10


@pytest.mark.usefixtures("few_draws")
def test_without_patients_each_case_is_one(tmp_path: Path) -> None:
    data = [{"image": torch.randn(2), "label": k % 2, "case": f"case{k}"} for k in range(4)]
    evaluate(data, ClassificationReportHandler(tmp_path, ["no", "yes"]))
    assert [row["patient"] for row in read(tmp_path / "classification.csv")] == [f"case{k}" for k in range(4)]
