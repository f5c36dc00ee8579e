# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import write_balls

from monai_dino.commands import main


def test_views_of_some_cases_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, output = write_balls(tmp_path / "data"), tmp_path / "new" / "views.png"
    arguments = ["views", "--datalist", str(root / "datalist.json"), "--cases", "2", "--output", str(output)]
    assert main(arguments) == 0
    assert f"wrote views of 2 of 6 cases to {output}" in capsys.readouterr().out
    with Image.open(output) as picture:
        first = np.asarray(picture)
    assert first.shape[0] == 2 * 196
    assert main(arguments) == 0
    with Image.open(output) as picture:
        assert np.array_equal(np.asarray(picture), first)
    assert main([*arguments, "--seed", "5"]) == 0
    with Image.open(output) as picture:
        assert not np.array_equal(np.asarray(picture), first)


@pytest.mark.parametrize(("modality", "stated"), [("ct", True), ("us", False), ("xray", True)])
def test_each_modality_has_its_recipe(modality: str, stated: bool, tmp_path: Path) -> None:
    root, output = write_balls(tmp_path / "data"), tmp_path / "views.png"
    content = json.loads((root / "datalist.json").read_text())
    content["modality"] = {"0": modality} if stated else None
    (root / "datalist.json").write_text(json.dumps(content))
    window = ["--window", "50", "250"]
    options = ["--cases", "1", "--preset", "dinov2", "--plane", "sagittal", "--no-artefacts", *window]
    options += [] if stated else ["--modality", modality]
    assert main(["views", "--datalist", str(root / "datalist.json"), "--output", str(output), *options]) == 0
    with Image.open(output) as picture:
        assert len(np.unique(np.asarray(picture))) > 20


def test_a_datalist_without_cases_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.json").write_text(json.dumps({"modality": "MR", "training": []}))
    assert main(["views", "--datalist", str(tmp_path / "none.json")]) == 1
    assert "none.json: has no cases" in capsys.readouterr().err


def test_wrong_options_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_balls(tmp_path / "data")
    common = ["views", "--datalist", str(root / "datalist.json")]
    for extra, message in (
        (["--cases", "0"], "--cases 0"),
        (["--output", "views.txt"], "views.txt: expected a picture"),
    ):
        assert main([*common, *extra]) == 1
        assert message in capsys.readouterr().err
