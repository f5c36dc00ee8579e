# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bundle_runs import read_table
from comparison_runs import run_command

from monai_dino.auto3dseg.curve_points import mean_of_cases
from monai_dino.auto3dseg.few_patients import _draw


def test_networks_learn_from_few_patients(
    here: Path, tmp_path: Path, jobs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out put"
    options = ("--shots", "1", "2", "--draws", "2", "--test-share", "0.5")
    assert run_command("few-shot", here, "balls", output, "flat", "broken", *options) == 0
    printed = capsys.readouterr().out
    assert f"wrote {output / 'few_shot.png'}" in printed
    assert (output / "few_shot.png").stat().st_size > 10000
    content = json.loads((output / "few_shot.json").read_text())

    # All are measured on the same patients, of whom none was drawn; one of the drawn selects at least.
    rows = read_table(output / "few_shot.csv")
    tested = {row["patient"] for row in rows}
    items = {item["image"]: item for item in json.loads((here / "balls" / "datalist.json").read_text())["training"]}
    assert content["test_patients"] == len(tested)
    assert len(items) > len(tested) == 2
    for draw in (0, 1):
        fold = json.loads((output / "2-patients" / "folds" / f"fold{draw}.json").read_text())
        parts = {part: {item["patient"] for item in fold[part]} for part in ("training", "validation")}
        assert [len(parts[part]) for part in ("training", "validation")] == [1, 1]
        assert not tested & (parts["training"] | parts["validation"])
    assert any(line.startswith("1 patients: left out, since a network needs") for line in content["left_out"])

    assert all(number > 0 for number in content["threads"])
    assert len(content["threads"]) == 1

    # A point is the mean over the draws; what failed counts as nothing predicted, and is said.
    assert any(line.startswith("2 patients, draw 0: broken failed: ") for line in content["left_out"])
    points = {(p["method"], p["amount"], p["metric"]): p for p in content["points"]}
    assert points["broken", "2 patients", "dice"]["estimate"]["value"] == 0
    point = points["flat", "2 patients", "dice"]
    draws = []
    for draw in "01":
        found: dict[str, list[float]] = {}
        for row in rows:
            if (row["method"], row["learned_from"], row["draw"]) == ("flat", "2 patients", draw) and row["dice"]:
                found.setdefault(row["case"], []).append(float(row["dice"]))
        draws.append(float(np.mean([np.mean(values) for values in found.values()])))
    assert point["seeds"] == pytest.approx(draws)
    assert point["estimate"]["value"] == pytest.approx(np.mean(draws))

    # Continued with one draw more, what is there is not done again.
    jobs.clear()
    options = ("--shots", "2", "--draws", "3", "--test-share", "0.5")
    assert run_command("few-shot", here, "balls", output, "flat", *options) == 0
    assert jobs == ["flat/fold2"]
    assert (output / "few_shot.md").read_text().startswith("Mean over 3 draws on the same 2 test cases")
    assert run_command("few-shot", here, "balls", output, "flat", *options[:3], "1", *options[4:]) == 0
    assert (output / "few_shot.md").read_text().startswith("One draw on the same 2 test cases")


def test_classifiers_learn_from_few_patients_of_each_class(here: Path, tmp_path: Path, jobs: list[str]) -> None:
    options = ("--shots", "2", "--draws", "1", "--shares", "1.0")
    assert run_command("few-shot", here, "stripes", tmp_path, "dinofrozen", *options) == 0
    content = json.loads((tmp_path / "few_shot.json").read_text())
    assert {p["amount"] for p in content["points"]} == {"2 per class", "100 %"}
    assert {p["metric"] for p in content["points"]} == {"balanced_accuracy", "auroc"}
    assert jobs == ["dinofrozen/fold0", "dinofrozen/fold0"]


def test_another_seed_draws_and_holds_out_others() -> None:
    items = [{"case": f"c{k}", "patient": f"p{k}", "label": "mask"} for k in range(40)]
    found = []
    for seed in (0, 1):
        [folds] = _draw(items, "segmentation", ["background", "x"], (4,), (), 3, 0.25, seed)[0].values()
        assert len({tuple(sorted(item["case"] for item in fold.training)) for fold in folds}) == 3
        found.append([{item["case"] for item in part} for fold in folds for part in (fold.held_out, fold.training)])
    assert not any(one in found[1] for one in found[0])


def test_when_all_fail_the_command_does(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("few-shot", here, "balls", tmp_path, "broken", "--shots", "2", "--draws", "1") == 1
    assert "every training failed:\n  broken: " in capsys.readouterr().err


def test_a_class_that_is_not_defined_is_left_out_of_its_case() -> None:
    rows = [
        [
            {"case": "b", "patient": "q", "dice": 0.5},
            {"case": "a", "patient": "p", "dice": float("nan")},
            {"case": "b", "patient": "q", "dice": float("nan")},
        ],
        [
            {"case": "a", "patient": "p", "dice": 1.0},
            {"case": "b", "patient": "q", "dice": 0.0},
            {"case": "b", "patient": "q", "dice": 1.0},
        ],
    ]
    values, patients = mean_of_cases(rows, "dice")
    np.testing.assert_array_equal(values, [[np.nan, 0.5], [1.0, 0.5]])
    assert patients == ["p", "q"]


def test_nothing_to_select_on(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("few-shot", here, "balls", tmp_path, "flat", "--shots", "1") == 1
    assert "a network needs patients to select on too. Ask for 2 or more" in capsys.readouterr().err
