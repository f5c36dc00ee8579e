# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_features import class_features

from monai_dino.evaluation import DatalistFeatures, KnnProbe, run_probes


def test_a_class_without_test_or_training_cases_is_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In all that is written and printed; cases to choose by are learned from as well."""
    features = class_features(np.array([0, 1, 0, 1, 2, 0, 1, 3]))
    parts = {
        "training": features.take(np.arange(4)), "validation": features.take(np.array([4])),
        "testing": features.take(np.arange(5, 8)),
    }  # fmt: skip
    listed = DatalistFeatures(parts, {}, ["a", "b", "c", "d"], {})
    text = run_probes(listed, {"1-NN": KnnProbe(1)}, tmp_path, "knn")
    content = json.loads((tmp_path / "knn.json").read_text())
    assert content["absent"] == [
        "There is no test case of class c: AUROC is undefined, and balanced accuracy is the mean over the other "
        "classes.",
        "There is no training case of class d: no probe has learned to tell it.",
    ]
    assert content["summary"]["1-NN"]["auroc"]["value"] is None
    for shown in (text, capsys.readouterr().out, (tmp_path / "knn.md").read_text()):
        assert all(line in shown for line in content["absent"])


def test_nothing_is_said_where_no_class_is_absent(tmp_path: Path) -> None:
    features = class_features(np.arange(8) % 2)
    parts = {"training": features.take(np.arange(4)), "testing": features.take(np.arange(4, 8))}
    run_probes(DatalistFeatures(parts, {}, ["a", "b"], {}), {"1-NN": KnnProbe(1)}, tmp_path, "knn")
    assert json.loads((tmp_path / "knn.json").read_text())["absent"] == []
    assert (tmp_path / "knn.md").read_text().rstrip().endswith("|")
