# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from synthetic import write_volume

from monai_dino.auto3dseg.class_scoring import class_probabilities, score_classification
from monai_dino.auto3dseg.predictions import read_probabilities, write_probabilities
from monai_dino.auto3dseg.scores import best_members
from monai_dino.auto3dseg.scoring import Evaluation, score_case, score_segmentation
from monai_dino.errors import InputError
from monai_dino.evaluation import classification_metric, segmentation_metrics
from monai_dino.transforms import PostProcessing

EVALUATION = Evaluation(("background", "a", "b"))
SHAPE = (8, 9, 5)
SPACING = (1.0, 1.0, 2.0)  # of the affine of synthetic volumes
DIAGONAL = math.sqrt(8**2 + 9**2 + 10**2)


def item(root: Path, name: str, mask: np.ndarray) -> dict[str, Any]:
    path = str(write_volume(root / f"{name}.nii.gz", mask))
    return {"case": name, "patient": name, "image": path, "label": path}


def block(k: int = 1, speck: bool = False) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:5, 2:6, 1:4] = k
    if speck:
        mask[7, 8, 0] = k
    return mask


def probabilities(mask: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.stack([(mask == k) * 0.8 + 0.1 for k in range(classes)]).astype(np.float32)


def test_a_case_is_measured_by_the_metrics_of_the_package(tmp_path: Path) -> None:
    case = item(tmp_path, "c", block())
    prediction = torch.from_numpy(np.roll(block(), 1, axis=0).astype(np.int32))
    rows = score_case(case, prediction, EVALUATION)
    assert [row["class"] for row in rows] == ["a", "b"]
    expected = segmentation_metrics(prediction, torch.from_numpy(block()), 3, SPACING)[1]
    assert {k: rows[0][k] for k in expected} == pytest.approx(expected)
    assert rows[0]["predicted"] is True
    assert math.isnan(rows[1]["dice"])  # nothing to find, nothing found
    wider = score_case(case, prediction, Evaluation(EVALUATION.names, tolerance=3.0))[0]
    assert wider["nsd"] == 1.0
    assert rows[0]["nsd"] < 1.0 or rows[0]["hd95"] <= 1.0


def test_what_is_missing_counts_as_the_worst(tmp_path: Path) -> None:
    for row in score_case(item(tmp_path, "c", block()), None, EVALUATION):
        assert (row["dice"], row["jaccard"], row["nsd"], row["predicted"]) == (0.0, 0.0, 0.0, False)
        assert row["hd95"] == pytest.approx(DIAGONAL)


def test_it_does_not_pay_to_find_nothing(tmp_path: Path) -> None:
    nothing = torch.zeros(SHAPE, dtype=torch.int32)
    a, b = score_case(item(tmp_path, "c", block()), nothing, EVALUATION)
    assert (a["dice"], a["hd95"]) == (0.0, pytest.approx(DIAGONAL))
    assert math.isnan(b["hd95"])
    in_vain = score_case(item(tmp_path, "d", nothing.numpy().astype(np.uint8)), torch.from_numpy(block()), EVALUATION)[
        0
    ]
    assert (in_vain["dice"], in_vain["hd95"]) == (0.0, pytest.approx(DIAGONAL))


def test_another_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c: the prediction has \(3, 3, 3\) voxels, the mask \(8, 9, 5\)"):
        score_case(item(tmp_path, "c", block()), torch.zeros(3, 3, 3, dtype=torch.int32), EVALUATION)


@pytest.mark.parametrize("axcodes", ["LPS", "PIR", "SAL"])
def test_a_mask_may_lie_on_disk_in_another_orientation(tmp_path: Path, axcodes: str) -> None:
    case = item(tmp_path, "c", block())
    prediction = torch.from_numpy(np.roll(block(), 1, axis=0).astype(np.int32))
    mask = nib.load(case["label"])
    turn = ornt_transform(io_orientation(mask.affine), axcodes2ornt(axcodes))
    nib.save(mask.as_reoriented(turn), tmp_path / "turned.nii.gz")
    turned = case | {"label": str(tmp_path / "turned.nii.gz")}
    assert score_case(turned, prediction, EVALUATION)[0] == pytest.approx(score_case(case, prediction, EVALUATION)[0])


def test_a_mask_of_another_place_is_refused(tmp_path: Path) -> None:
    case = item(tmp_path, "c", block())
    mask = nib.load(case["label"])
    away = mask.affine.copy()
    away[0, 3] += 5.0
    nib.save(nib.Nifti1Image(np.asarray(mask.dataobj), away), tmp_path / "away.nii.gz")
    with pytest.raises(InputError, match=r"away\.nii\.gz: lies elsewhere"):
        score_case(case | {"label": str(tmp_path / "away.nii.gz")}, None, EVALUATION)


def test_post_processing_is_chosen_on_validation_alone(tmp_path: Path) -> None:
    """The held-out cases would be better with another one; they are not asked."""
    noisy, clean = block(speck=True), block()
    asks = {"v": noisy, "t": noisy}
    asks["w"] = noisy
    validation, held_out = [item(tmp_path, name, noisy) for name in ("v", "w")], [item(tmp_path, "t", clean)]
    scores = score_segmentation(lambda c: probabilities(asks[c]), validation, held_out, EVALUATION)
    assert scores["postprocessing"] == "none"
    assert scores["validation"] == 1.0
    assert scores["rows"][0]["dice"] < 1.0
    validation, held_out = [item(tmp_path, name, clean) for name in ("v", "w")], [item(tmp_path, "t", noisy)]
    scores = score_segmentation(lambda c: probabilities(asks[c]), validation, held_out, EVALUATION)
    assert scores["postprocessing"] == "largest"
    chosen = PostProcessing(["largest"])(torch.from_numpy(noisy.astype(np.int32)))
    assert scores["rows"][0]["dice"] == segmentation_metrics(chosen, torch.from_numpy(noisy), 3, SPACING)[1]["dice"]
    off = Evaluation(EVALUATION.names, postprocessing=False)
    plain = score_segmentation(lambda c: probabilities(asks[c]), validation, held_out, off)
    assert list(plain["candidates"]) == ["none"]


def test_missing_validation_cases_count_too(tmp_path: Path) -> None:
    validation = [item(tmp_path, name, block()) for name in ("v", "w")]
    scores = score_segmentation(lambda c: probabilities(block()) if c == "v" else None, validation, [], EVALUATION)
    assert scores["validation"] == 0.5
    assert score_segmentation(lambda c: None, validation, [], EVALUATION)["validation"] == 0.0


def test_classes() -> None:
    rng = np.random.default_rng(0)
    names = Evaluation(("x", "y", "z"))
    cases = [{"case": f"c{i}", "patient": f"p{i}", "label": i % 3} for i in range(12)]
    p = {case["case"]: rng.dirichlet([1, 1, 1]) for case in cases}
    scores = score_classification(p.get, cases[:6], cases, names)
    table, truth = class_probabilities(scores["rows"], names.names)
    assert np.allclose(table, [p[c["case"]] for c in cases])
    assert truth.tolist() == [i % 3 for i in range(12)]
    assert scores["validation"] == classification_metric("auroc", table[:6], truth[:6])
    assert sum(row["correct"] for row in scores["rows"]) / 12 == classification_metric("accuracy", table, truth)
    one = score_classification(p.get, cases[:1], [], names)
    assert one["validation"] in (0.0, 1.0)  # the accuracy: no AUROC of one class


def test_a_class_that_is_not_predicted_is_wrong() -> None:
    cases = [{"case": "c", "patient": "c", "label": 1}]
    (row,) = score_classification(lambda c: None, cases, cases, Evaluation(("x", "y")))["rows"]
    assert (row["correct"], row["probability_of_truth"], row["p_x"]) == (0, 0.0, 1.0)
    assert (row["predicted"], row["prediction"]) == (False, "")


def test_a_class_may_be_called_true() -> None:
    cases = [{"case": "c", "patient": "c", "label": 0}]
    found = np.array([0.25, 0.75])
    (row,) = score_classification(lambda c: found, [], cases, Evaluation(("false", "true")))["rows"]
    assert (row["probability_of_truth"], row["p_false"], row["p_true"]) == (0.25, 0.25, 0.75)


def test_probabilities_of_a_case_stay_apart(tmp_path: Path) -> None:
    """In half precision both would be 1, and an AUROC could not tell them apart."""
    for p in (0.99990, 0.99999):
        write_probabilities(tmp_path / f"{p}.npz", np.array([1 - p, p], np.float32))
    found = [read_probabilities(path)[1] for path in sorted(tmp_path.glob("*.npz"))]
    assert found[0] < found[1] < 1


def test_probabilities_come_back(tmp_path: Path) -> None:
    p = np.random.default_rng(0).dirichlet([1, 1, 1], size=(4, 5)).transpose(2, 0, 1).astype(np.float32)
    write_probabilities(tmp_path / "new" / "case.one.npz", p)
    found = read_probabilities(tmp_path / "new" / "case.one.npz")
    assert found.dtype == np.float32
    assert np.allclose(found, p, atol=1e-3)
    with pytest.raises(InputError, match="not finite"):
        write_probabilities(tmp_path / "c.npz", p * np.nan)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no")
    for name in ("bad.npz", "none.npz"):
        with pytest.raises(InputError, match=f"{name}: no predicted probabilities"):
            read_probabilities(tmp_path / name)


def test_members_of_the_ensemble() -> None:
    scores = {"a": {"validation": 0.5}, "b": {"validation": 0.9}, "c": {"validation": 0.5}}
    assert best_members(scores, 2) == ["b", "a"]
    assert best_members(scores, 9) == ["b", "a", "c"]
    assert best_members({}, 3) == []
