# SPDX-License-Identifier: Apache-2.0
"""Whole comparisons of tiny networks, whose jobs run in this process: a new one would import for many seconds."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle_runs import read_table
from comparison_runs import compare

from monai_dino.auto3dseg import worker
from monai_dino.auto3dseg.budget import Budget
from monai_dino.auto3dseg.comparison import comparison_jobs
from monai_dino.auto3dseg.comparison_data import labelled_items
from monai_dino.auto3dseg.comparison_settings import ComparisonSettings
from monai_dino.auto3dseg.contestants import find_contestants
from monai_dino.auto3dseg.folds import comparison_folds
from monai_dino.auto3dseg.predictions import read_probabilities
from monai_dino.auto3dseg.scoring import Evaluation, score_case
from monai_dino.checkpoints import weights_digest


def test_a_segmentation(
    here: Path, tmp_path: Path, jobs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out put"
    assert compare(here, "balls", output, "dinolinear", "broken", "flat", "solid") == 0
    printed = capsys.readouterr()
    assert f"wrote {output}" in printed.out
    assert "broken, fold 0: failed (" in printed.out + printed.err
    assert len(jobs) == 8

    # Every case is held out once; what failed is a row that says why.
    datalist = json.loads((here / "balls" / "datalist.json").read_text())["training"]
    cases = read_table(output / "cases.csv")
    for name in ("dinolinear", "flat", "solid", "ensemble"):
        rows = [(r["case"], r["class"]) for r in cases if r["algorithm"] == name]
        assert sorted(rows) == sorted((f"case{k}", c) for k in range(len(datalist)) for c in ("lower", "upper"))
    table = read_table(output / "comparison.csv")
    (broken,) = [row for row in table if row["algorithm"] == "broken"]
    assert broken["status"].startswith("failed in fold 0: ")
    dice = next(r for r in table if (r["algorithm"], r["class"], r["metric"]) == ("flat", "lower", "dice"))
    values = [float(r["dice"]) for r in cases if (r["algorithm"], r["class"]) == ("flat", "lower") and r["dice"]]
    assert float(dice["mean"]) == pytest.approx(np.mean(values))
    assert dice["n"] == str(len(values))

    # The held-out cases of a fold are neither trained nor selected on.
    report = json.loads((output / "comparison.json").read_text())
    for fold in report["folds"]:
        seen = json.loads((output / "folds" / f"fold{fold['number']}.json").read_text())
        names = {Path(i["image"]).name.split(".")[0] for part in ("training", "validation") for i in seen[part]}
        assert names == {*fold["training"], *fold["validation"]}
        assert not names & set(fold["held_out"])
        assert set(seen) & {"testing", "test"} == set()
    assert report["weights"] == {"dinolinear": weights_digest(str(here / "weights"))}
    assert f"Weights of dinolinear: {report['weights']['dinolinear']}." in report["notes"]
    (trained,) = [note for note in report["notes"] if note.startswith("Trained with")]
    assert re.search(r"with \d+ threads", trained)
    costs = {row["algorithm"]: row for row in report["costs"]}
    assert costs["dinolinear"]["trainable parameters"] < costs["dinolinear"]["parameters"]
    assert costs["solid"]["steps"] == 2
    assert costs["solid"]["peak memory MiB"] > 1
    assert "ranks.svg" in {p.name for p in output.iterdir()}
    page = (output / "comparison.html").read_text()
    assert "<svg" in page
    assert "broken" in page

    # Measured on the grid of the file, from what was predicted.
    fold = report["folds"][0]
    held_out = fold["held_out"][0]
    item = next(i for i in datalist if held_out in i["image"])
    item = {"case": held_out, "patient": "p"} | {key: str(here / "balls" / item[key]) for key in ("image", "label")}
    predicted = read_probabilities(output / "solid" / "fold0" / "predictions" / f"{held_out}.npz")
    chosen = next(row["post-processing"] for row in report["costs"] if row["algorithm"] == "solid")
    if chosen == "none (2)":
        labels = torch.from_numpy(predicted.argmax(axis=0).astype(np.int32))
        measured = score_case(item, labels, Evaluation(("background", "lower", "upper")))
        found = [r for r in cases if (r["algorithm"], r["case"]) == ("solid", held_out)]
        assert [float(r["dice"] or "nan") for r in found] == pytest.approx([r["dice"] for r in measured], nan_ok=True)

    # Continued: one training is gone, as after a kill; one algorithm more. The rest is not done again.
    jobs.clear()
    shutil.rmtree(output / "flat" / "fold1" / "models")
    (output / "flat" / "fold1" / "result.json").unlink()
    monkeypatch.setattr(worker, "write_probabilities", lose(f"{held_out}.npz"))
    assert compare(here, "balls", output, "dinolinear", "flat") == 0
    assert jobs == ["flat/fold1"]
    assert "3 of 4 trainings are there already: dinolinear fold 0, " in capsys.readouterr().out

    # A case that could not be predicted counts against the algorithm. Trained again, it is another member.
    jobs.clear()
    ensembles = [json.loads((output / "ensemble" / f"fold{k}" / "scores.json").read_text())["key"] for k in (0, 1)]
    shutil.rmtree(output / "flat" / "fold0")
    assert compare(here, "balls", output, "dinolinear", "flat") == 0
    assert jobs == ["flat/fold0"]
    again = [json.loads((output / "ensemble" / f"fold{k}" / "scores.json").read_text())["key"] for k in (0, 1)]
    assert again[0] != ensembles[0]
    assert again[1] == ensembles[1]
    lost = [r for r in read_table(output / "cases.csv") if (r["algorithm"], r["case"]) == ("flat", held_out)]
    assert [(r["dice"], r["predicted"]) for r in lost] == [("0.0", "False")] * 2
    assert "1 cases without a prediction count as the worst" in capsys.readouterr().out


def test_other_classes_are_other_trainings(here: Path, tmp_path: Path) -> None:
    """A network of other outputs, whose predictions would be read under wrong names."""
    root = tmp_path / "balls"
    shutil.copytree(here / "balls", root)
    settings = ComparisonSettings(root / "datalist.json", root, tmp_path / "out", Budget(steps=1))
    folds = comparison_folds(labelled_items(settings.datalist, root), 2, 0)
    arguments = (settings, find_contestants(["unet2d"], "segmentation"), folds, {}, None, tmp_path / "out")
    keys = [job.key for job in comparison_jobs(*arguments)]
    assert [job.key for job in comparison_jobs(*arguments)] == keys
    content = json.loads(settings.datalist.read_text())
    content["labels"]["3"] = "another"
    settings.datalist.write_text(json.dumps(content))
    assert not set(keys) & {job.key for job in comparison_jobs(*arguments)}


def lose(name: str) -> Callable[..., None]:
    """Writes predictions, all but one."""
    from monai_dino.auto3dseg.predictions import write_probabilities

    def write(path: Path, probabilities: Any) -> None:
        if path.name == name:
            raise MemoryError("it does not fit")
        write_probabilities(path, probabilities)

    return write


def test_a_classification(here: Path, tmp_path: Path, jobs: list[str]) -> None:
    (tmp_path / "net.json").write_text(
        json.dumps(
            {
                "name": "net", "about": "a small one",
                "network": {
                    "_target_": "monai_dino.auto3dseg.wrappers.MeanOverSlices",
                    "network": {
                        "_target_": "monai.networks.nets.Classifier", "in_shape": [1, 28, 28], "classes": 2,
                        "channels": [4], "strides": [4],
                    },
                },
            }
        )
    )  # fmt: skip
    output = tmp_path / "out"
    assert compare(here, "stripes", output, "dinofrozen", str(tmp_path / "net.json")) == 0
    assert len(jobs) == 4
    cases = read_table(output / "cases.csv")
    for name in ("dinofrozen", "net", "ensemble"):
        rows = [row for row in cases if row["algorithm"] == name]
        assert sorted(row["case"] for row in rows) == sorted(f"case{k}" for k in range(8))
        right = np.mean([row["prediction"] == row["truth"] for row in rows])
        table = read_table(output / "comparison.csv")
        found = next(r for r in table if (r["algorithm"], r["metric"]) == (name, "accuracy"))
        assert float(found["mean"]) == pytest.approx(right)
