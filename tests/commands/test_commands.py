# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

import monai_dino
from monai_dino.commands import main

HELP = """
import sys
from monai_dino.commands import main
for arguments in (["--help"], *([name, "--help"] for name in sys.argv[1:]), ["--version"]):
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code == 0
heavy = {"torch", "monai", "transformers", "peft", "numpy", "itk", "nibabel", "sklearn"} & sys.modules.keys()
assert not heavy, heavy
"""
COMMANDS = ["bundles", "datalist", "check", "store", "views", "export", "report", "compare", "few-shot"]


def test_help_comes_without_torch() -> None:
    result = subprocess.run([sys.executable, "-c", HELP, *COMMANDS], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("usage: python -m monai_dino") == 1 + len(COMMANDS)
    assert result.stdout.endswith(monai_dino.__version__ + "\n")
    assert "python -m monai_dino datalist DATA --images images --masks labels" in result.stdout


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    named = capsys.readouterr().err
    assert "invalid choice: 'nonsense'" in named
    assert named.split("choose from ")[1].rstrip(")\n").replace("'", "").split(", ") == COMMANDS


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2
    assert "required: COMMAND" in capsys.readouterr().err


def test_errors_of_the_package_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundles", "nonsense"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: no bundle 'nonsense'")
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


def test_the_module_is_a_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "monai_dino", "bundles", "nonsense"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: no bundle 'nonsense'")
