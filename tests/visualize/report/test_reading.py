# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folders import classification_run, explanation, pretraining_run, segmentation_run

from monai_dino.data import SliceStore
from monai_dino.errors import ConfigurationError
from monai_dino.files import write_csv, write_json
from monai_dino.visualize.report import read_run
from monai_dino.visualize.report.cases import worst_first


def test_a_segmentation(tmp_path: Path) -> None:
    run = read_run(segmentation_run(tmp_path / "run"))
    assert [e.file for e in run.evaluations] == ["eval/segmentation.json"]
    assert run.evaluations[0].summary["ball"]["dice"].value == pytest.approx(0.51)
    assert run.evaluations[0].summary["ball"]["dice"].n == 3
    assert len(run.evaluations[0].rows) == 4
    assert list(run.curves) == ["runs/training.csv"]
    assert run.class_names == ["background", "ball"]
    assert not run.pretraining
    assert not run.problems


def test_a_pretraining(tmp_path: Path) -> None:
    run = read_run(pretraining_run(tmp_path / "run", steps=60))
    assert run.pretraining
    assert run.state is not None
    assert (run.state["steps"], run.state["step"]) == (60, 40)
    assert run.pictures == ["runs/views/epoch_0001.png"]


def test_the_store_tells_sizes(tmp_path: Path) -> None:
    run_dir = segmentation_run(tmp_path / "run", tmp_path / "data")
    items = [
        {
            "image": str(tmp_path / "data" / "images" / "case0.nii.gz"),
            "label": str(tmp_path / "data" / "labels" / "case0.nii.gz"),
        }
    ]
    SliceStore(items, run_dir / "store", modality="mr", progress=False)
    (fact,) = read_run(run_dir).stored
    assert sorted(fact.shape) == [1, 6, 24, 30]
    assert sorted(fact.spacing) == [1, 1, 2]
    assert set(fact.labels) == {"0", "1"}


def test_reports_of_folds_and_of_curves(tmp_path: Path) -> None:
    estimate = {"value": 0.5, "low": 0.25, "high": None, "n": 9}
    folded = {"mean": 0.5, "sd": 0.125, "folds": 3, "pooled": estimate}
    write_json(tmp_path / "cross_validation.json", {"summary": {"knn": {"auroc": folded}}, "tests": [{"p": 0.5}]})
    point = {
        "method": "knn",
        "amount": "4 per class",
        "patients": 4.0,
        "metric": "auroc",
        "estimate": estimate,
        "seeds": [1],
    }
    write_json(tmp_path / "few_shot.json", {"points": [point]})
    write_json(tmp_path / "other.json", {"summary": {"cases": {"training": 3}}})
    draws = [{"draw": k, "case": "a", "truth": "x", "prediction": "y", "p_x": 0.2, "p_y": 0.8} for k in range(2)]
    write_csv(tmp_path / "few_shot.csv", draws)
    write_csv(tmp_path / "free.csv", [{"x": 1}])
    run = read_run(tmp_path)
    cross, few = run.evaluations
    assert cross.summary["knn"]["auroc"].value == 0.5
    assert cross.folds == {"knn": {"auroc": "0.5 \u00b1 0.125 (3 folds)"}}
    assert list(few.summary) == ["knn, 4 per class"]
    assert [p["patients"] for p in few.points] == [4.0]
    assert len(few.rows) == 2
    assert worst_first(few) == {}  # a row of a draw is no case
    assert list(run.tables) == ["free.csv"]
    assert not run.problems


def test_damaged_files_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    run_dir = classification_run(tmp_path / "run")
    (run_dir / "eval" / "bad.json").write_text("{", encoding="utf-8")
    (run_dir / "runs").mkdir()
    (run_dir / "runs" / "verdict.json").write_text(json.dumps({}), encoding="utf-8")
    (run_dir / "runs" / "training.csv").write_bytes(
        b"epoch,loss\r\n1,0.5\r\n2,0"
    )  # cut off within a row is still a row
    (run_dir / "eval" / "binary.csv").write_bytes(b"\xff\xfe\x00")
    run = read_run(run_dir)
    assert {p.file for p in run.problems} == {"eval/bad.json", "runs/verdict.json", "eval/binary.csv"}
    assert all(str(tmp_path) not in p.what for p in run.problems)
    assert len(run.evaluations) == 1
    assert len(run.curves["runs/training.csv"]) == 2


def test_links_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    run_dir = classification_run(tmp_path / "run")
    explanation(tmp_path / "elsewhere")
    (run_dir / "linked").symlink_to(tmp_path / "elsewhere")
    (run_dir / ".hidden.csv").write_text("a", encoding="utf-8")
    run = read_run(run_dir)
    assert not run.pictures
    assert not run.tables


def test_what_is_no_run_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is no folder"):
        read_run(tmp_path / "none")
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"holds no results of a run; looked for training\.csv.*verdict\.json"):
        read_run(tmp_path)
