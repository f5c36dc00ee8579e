# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_balls

from monai_dino.commands import main
from monai_dino.commands.compare import _setting


def test_settings_are_json_or_words() -> None:
    assert _setting("slice_size=[48,64]") == ("slice_size", [48, 64])
    assert _setting("plane=sagittal") == ("plane", "sagittal")
    assert _setting("window=null") == ("window", None)
    assert _setting("encoder=a=b") == ("encoder", "a=b")


@pytest.mark.parametrize("budget", [[], ["--steps", "2", "--minutes", "1"]])
def test_one_budget_is_needed(budget: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "datalist.json", "--output", "out", *budget])
    assert "--minutes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "decoder"], "expected KEY=VALUE"),
        (["--set", "epochs=3"], "settings: unknown epochs"),
        (["--algorithms", "resnet50"], "unknown 'resnet50'; for segmentation"),
        (["--task", "classification"], "are for segmentation"),
        (["--tolerance", "0"], "a tolerance above 0"),
        (["--folds", "9"], "too few for 9 folds"),
        (["--output", "results #2"], "results #2 has a #"),
        (["--weights", "a#b"], "a#b has a #"),
    ],
)
def test_what_cannot_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    datalist = str(write_balls(tmp_path / "balls") / "datalist.json")
    assert main(["compare", datalist, "--steps", "2", "--output", str(tmp_path / "out"), *arguments]) == 1
    assert said in capsys.readouterr().err
