# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monai_dino.data.check_case import CaseReport
from monai_dino.data.check_dataset import changed_files, dataset_findings, fold_findings, summary


def report(case: str, **more: Any) -> CaseReport:
    known = {
        "part": "training", "patient": case, "digests": {f"{case}.nii": case}, "content": case, "shape": [10, 20, 30],
        "spacing": [1.0, 1.0, 2.0], "orientation": "RAS", "volumes": {1: 5.0},
        "percentiles": {q: [float(q)] for q in ("0", "0.5", "50", "99", "99.5", "100")},
    }  # fmt: skip
    return CaseReport(case, **{**known, **more})


def many(**odd: Any) -> list[CaseReport]:
    rng = np.random.default_rng(0)
    reports = [report(f"c{k}", volumes={1: float(rng.uniform(4, 6))}) for k in range(20)]
    return [*reports, report("odd", **odd)]


def topics(reports: list[CaseReport], modality: str | None = "ct") -> list[tuple[str, str]]:
    return [(f.case, f.topic) for f in dataset_findings(reports, ["background", "lesion"], modality)]


@pytest.mark.parametrize(
    ("odd", "topic"),
    [
        ({}, None),
        ({"spacing": [10.0, 10.0, 20.0]}, ["spacing", "extent"]),
        ({"shape": [100, 20, 30]}, ["extent"]),
        ({"percentiles": {**report("x").percentiles, "99": [5000.0]}}, ["intensity"]),  # type: ignore[dict-item]
        ({"volumes": {1: 500.0}}, ["volume of lesion"]),
        ({"volumes": {1: 0.05}}, ["volume of lesion"]),
        ({"volumes": {1: 6.5}}, None),
    ],
)
def test_a_case_far_from_the_others_is_named(odd: dict[str, Any], topic: list[str] | None) -> None:
    assert topics(many(**odd)) == [("odd", t) for t in topic or []]
    assert topics([report("a"), report("odd", **odd)]) == []  # of two, which is odd?


def test_mr_has_no_unit_to_be_far_in() -> None:
    odd = {"percentiles": {**(report("x").percentiles or {}), "99": [5000.0]}}
    assert topics(many(**odd), "mr") == []


@pytest.mark.parametrize(
    ("twin", "severity"),
    [
        ({"part": "testing"}, "error"),
        ({"label": 1}, "error"),
        ({}, "warning"),
        ({"patient": "a"}, None),
    ],
)
def test_the_same_image_twice(twin: dict[str, Any], severity: str | None) -> None:
    reports = [report("a", label=0), report("b", digests={"b.nii": "x"}, content="a", **{"label": 0, **twin})]
    found = dataset_findings(reports, ["background", "lesion"], "ct")
    assert [(f.case, f.severity, f.topic) for f in found] == ([] if severity is None else [("a", severity, "twins")])


def test_classes_that_no_case_holds() -> None:
    (finding,) = dataset_findings([report("a")], ["background", "lesion", "cyst"], None)
    assert finding.what == "no case holds the class cyst"
    labelled = [report("a", volumes={}, label=0), report("b", volumes={}, label=2)]
    (finding,) = dataset_findings(labelled, ["one", "two", "three"], None)
    assert finding.what == "no case holds the class two"


def test_files_against_an_earlier_report() -> None:
    reports = [report("a"), report("b", digests={"b.nii": "other"}), report("c")]
    found = changed_files(reports, {"a.nii": "a", "b.nii": "b", "gone.nii": "x"})
    assert [(f.case, f.severity, f.topic) for f in found] == [
        ("b", "error", "changed"),
        ("c", "note", "new"),
        ("dataset", "warning", "gone"),
    ]


def test_the_summary_is_that_of_the_cases() -> None:
    reports = [
        report("a"),
        report("b", shape=[12, 20, 30], volumes={1: 7.0}, part="testing"),
        report("c", shape=None, spacing=None, percentiles=None, orientation=None, volumes={}),
    ]
    found = summary(reports, ["background", "lesion"])
    assert found["cases"] == {"training": 2, "testing": 1}
    assert found["unreadable"] == 1
    assert found["voxels"] == {"min": [10, 20, 30], "median": [11, 20, 30], "max": [12, 20, 30]}
    assert found["classes"] == {"lesion": {"cases": 2, "ml": {"min": [5], "median": [6], "max": [7]}}}
    pictures = [report(c, shape=[9, 9, 1], spacing=[1.0, 1.0, 1.0]) for c in "ab"]
    assert "1000 pixels" in summary(pictures, ["background", "lesion"])["classes"]["lesion"]


def test_a_patient_in_several_folds_is_an_error() -> None:
    items = [
        {"case": "a", "patient": "p1", "fold": 0}, {"case": "b", "patient": "p1", "fold": 1},
        {"case": "c", "patient": "p2", "fold": 1}, {"case": "d", "patient": "p2", "fold": 1},
    ]  # fmt: skip
    (found,) = fold_findings(items)
    assert (found.severity, found.topic, found.case) == ("error", "folds", "a")
    assert "patient p1 is in the folds 0, 1 (as in a, b)" in found.what
    assert fold_findings(items[1:]) == []
