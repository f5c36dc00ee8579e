# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import classification_run

from monai_dino.commands import main


def test_a_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = classification_run(tmp_path / "run")
    assert main(["report", str(run_dir)]) == 0
    assert f"wrote {run_dir / 'report.html'}" in capsys.readouterr().out
    assert main(["report", str(run_dir), "--output", str(tmp_path / "new" / "page.html")]) == 0
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--output", "page.txt"], "expected a page"),
        (["--datalist", "x.json"], "give that too (--dataset-dir)"),
        (["--cases", "-2"], "cases=-2"),
    ],
)
def test_wrong_options_are_named(
    extra: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(classification_run(tmp_path / "run")), *extra]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_without_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert "looked for training.csv" in capsys.readouterr().err
