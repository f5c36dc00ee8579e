# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import html
import json
import re
from pathlib import Path

from run_folders import written

from monai_dino.evaluation import CurvePoint, Estimate, LearningCurve
from monai_dino.visualize.report import write_run_report

# Of two classes two patients each are as many as a tenth of 40.
AMOUNTS = {"2 per class": (4.0, 0.6), "8 per class": (16.0, 0.8), "10 %": (4.0, 0.9), "100 %": (40.0, 0.95)}


def curve_of(*methods: str) -> LearningCurve:
    points = [
        CurvePoint(method, amount, patients, "auroc", (value,), Estimate(value, value - 0.1, value + 0.05, 20))
        for amount, (patients, value) in AMOUNTS.items()
        for method in methods
    ]
    return LearningCurve(points, [], [], {"methods": list(methods)})


def charts_of(page: str) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """Title of a chart -> what is read at each of its points: patients, and a text for each line."""
    found = re.findall(r'aria-label="([^"]*): arrow keys read values"', page)
    data = [json.loads(html.unescape(text)) for text in re.findall(r'data-chart="([^"]*)"', page)]
    return {
        title: [(x, {name: texts[k] for name, texts in one["series"].items()}) for k, x in enumerate(one["x"])]
        for title, one in zip(found, data, strict=True)
    }


def test_every_amount_has_a_point_with_its_interval(tmp_path: Path) -> None:
    curve_of("k-NN", "linear").write(tmp_path)
    page = written(write_run_report(tmp_path))
    both = {"k-NN", "linear"}
    assert charts_of(page) == {
        "auroc, numbers of patients": [
            ("4", dict.fromkeys(both, "0.6 (0.5 to 0.65)")),
            ("16", dict.fromkeys(both, "0.8 (0.7 to 0.85)")),
        ],
        "auroc, shares of patients": [
            ("4", dict.fromkeys(both, "0.9 (0.8 to 0.95)")),
            ("40", dict.fromkeys(both, "0.95 (0.85 to 1)")),
        ],
    }
    assert page.count('<line class="whisker"') == len(AMOUNTS) * 2 * 2  # of each point, in its chart and in the table


def test_amounts_of_as_many_patients_are_all_drawn(tmp_path: Path) -> None:
    points = curve_of("k-NN").points
    other = CurvePoint("k-NN", "12 %", 4.0, "auroc", (0.3,), Estimate(0.3, 0.2, 0.4, 20))
    LearningCurve([*points, other], [], [], {}).write(tmp_path)
    read = charts_of(written(write_run_report(tmp_path)))["auroc, shares of patients"]
    assert [texts["k-NN"].split()[0] for _, texts in read] == ["0.9", "0.3", "0.95"]


def test_the_picture_of_a_curve_is_not_among_those_of_attention(tmp_path: Path) -> None:
    curve = curve_of("k-NN")
    curve.write(tmp_path)
    curve.plot(tmp_path / "few_shot.png")
    curve.plot(tmp_path / "free.png")
    page = written(write_run_report(tmp_path))
    assert "free.png" in page
    assert "few_shot.png" not in page
