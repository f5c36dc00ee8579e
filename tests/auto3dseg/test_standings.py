# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import xml.etree.ElementTree as ET
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from monai_dino.auto3dseg.rank_plot import joined, rank_plot
from monai_dino.auto3dseg.standings import Standing, paired_values, spread, standings
from monai_dino.errors import ConfigurationError
from monai_dino.evaluation.paired_tests import PairedTest, mean_ranks, paired_tests
from monai_dino.evaluation.report import summarise_segmentation

NAN = float("nan")


def row(case: str, name: str, dice: float, patient: str | None = None, predicted: bool = True) -> dict[str, Any]:
    metrics = {"dice": dice, "jaccard": dice, "hd95": 2 * (1 - dice), "nsd": dice}
    return {"case": case, "patient": patient or case, "class": name, "predicted": predicted} | metrics


def standing(name: str, rows: list[dict[str, Any]]) -> Standing:
    return Standing(name, "", rows, summarise_segmentation(rows))


def test_the_standard_deviation_is_over_cases() -> None:
    s = standing("x", [row("a", "k", 0.9), row("a", "t", NAN), row("b", "k", 0.5), row("b", "t", 0.7)])
    assert spread(s, "k", "dice") == pytest.approx(np.std([0.9, 0.5], ddof=1))
    assert spread(s, "mean", "dice") == pytest.approx(np.std([0.9, 0.6], ddof=1))
    assert np.isnan(spread(s, "t", "dice"))


def test_values_are_paired_by_patient() -> None:
    x = standing("x", [row("b", "k", 0.2, "p"), row("a", "k", 0.8, "p"), row("c", "k", NAN, "q")])
    y = standing("y", [row("c", "k", 0.0, "q"), row("a", "k", 0.1, "p"), row("b", "k", 0.3, "p")])
    failed = Standing("z", "", [], {}, {0: "no"})
    assert paired_values([x, y, failed], "segmentation", "dice") == {
        "x": [pytest.approx(0.5), 1.0],  # nothing was there, and nothing found
        "y": [pytest.approx(0.2), 0.0],
    }
    assert paired_values([x], "segmentation", "hd95")["x"][1] == 0.0


def test_a_fold_that_failed_counts_and_an_algorithm_that_failed_leaves_a_row() -> None:
    contestants: Any = [SimpleNamespace(name=name, about="") for name in ("good", "half", "bad")]
    result = {
        "trainable_parameters": 1, "parameters": 4, "training_seconds": 2.0, "steps": 5, "peak_memory_mib": 7.0,
        "peak_gpu_memory_mib": None, "threads": 2, "predictions": {"a": {"seconds": 0.5}, "b": {"error": "no"}},
    }  # fmt: skip
    failures = {("half", 1): "killed", ("bad", 0): "NetworkError: nan", ("bad", 1): "NetworkError: nan"}
    jobs: Any = [
        SimpleNamespace(contestant=c, fold=f, result=lambda ok=(c.name, f) not in failures: result if ok else None)
        for c in contestants for f in (0, 1)
    ]  # fmt: skip
    missing = {"rows": [row("b", "k", 0.0, predicted=False)], "validation": 0.0}
    scores = {
        (c.name, f): missing if (c.name, f) in failures else
        {"rows": [row("ab"[f], "k", 0.8)], "validation": 0.7, "postprocessing": "none"}
        for c in contestants for f in (0, 1)
    }  # fmt: skip
    ensemble = {f: scores["good", f] | {"members": ["good"]} for f in (0, 1)}
    found = standings(contestants, jobs, scores, failures, ensemble, "segmentation", ["background", "k"])
    good, half, bad, both = found
    assert [s.name for s in found] == ["good", "half", "bad", "ensemble"]
    assert (good.status, good.summary["k"]["dice"].n, good.chosen) == ("", 2, {0: "none", 1: "none"})
    assert good.costs == {
        "trainable_parameters": 1, "parameters": 4, "training_seconds": 2, "steps": 5, "peak_memory_mib": 7,
        "peak_gpu_memory_mib": None, "threads": 2.0, "seconds_per_case": 0.5,
    }  # fmt: skip
    assert (half.summary["k"]["dice"].value, half.summary["k"]["dice"].n) == (pytest.approx(0.4), 2)
    assert half.status == "failed in fold 1: killed; 1 cases without a prediction count as the worst"
    assert half.chosen == {0: "none"}
    assert (bad.rows, bad.summary) == ([], {})
    assert bad.status == "failed in fold 0: NetworkError: nan; failed in fold 1: NetworkError: nan"
    assert "fold 0: good" in both.about
    assert both.rows[0] == {"algorithm": "ensemble", "fold": 0} | scores["good", 0]["rows"][0]


def test_groups_of_what_is_not_told_apart() -> None:
    def tests(*different: str) -> list[PairedTest]:
        pairs = [(a, b) for i, a in enumerate("abcd") for b in "abcd"[i + 1 :]]
        return [PairedTest(a, b, 9, 0.0, 0.0, 0.01 if a + b in different else 0.2) for a, b in pairs]

    assert joined(list("abcd"), tests()) == [list("abcd")]
    assert joined(list("abcd"), tests("ac", "ad", "bd")) == [["a", "b"], ["b", "c"], ["c", "d"]]
    assert joined(list("abcd"), tests("ad")) == [["a", "b", "c"], ["b", "c", "d"]]
    assert joined(list("abcd"), tests("ab", "ac", "ad", "bc", "bd", "cd")) == []


def test_the_plot_has_each_algorithm_at_its_rank() -> None:
    rng = np.random.default_rng(0)
    values = {name: (rng.normal(size=12) + shift).tolist() for name, shift in (("low", 0), ("high", 5), ("<mid>", 0.1))}
    ranks, tests = mean_ranks(values), paired_tests(values)
    for standalone in (False, True):
        root = ET.fromstring(rank_plot(ranks, tests, standalone))  # noqa: S314 - our own
        dots = [e for e in root.iter() if e.tag.endswith("circle")]
        texts = [e.text for e in root.iter() if e.tag.endswith("text")]
        assert len(dots) == 3
        assert [t for t in texts if t in values] == sorted(values, key=lambda name: ranks[name])
        places = [float(dot.attrib["cx"]) for dot in dots]
        assert places == sorted(places)
        assert "not told apart" in texts
    with pytest.raises(ConfigurationError, match="at least two"):
        rank_plot({"a": 1.0}, [])
