# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest

from monai_dino import errors
from monai_dino.console import set_up_console


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The console as a bundle leaves it; all is as before afterwards."""
    logger = logging.getLogger("monai_dino")
    before = (list(logger.handlers), logger.level, logger.propagate)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    logger.handlers = []
    set_up_console()
    yield
    logger.handlers, level, logger.propagate = before
    logger.setLevel(level)


def printed(error: BaseException, capsys: pytest.CaptureFixture[str]) -> str:
    sys.excepthook(type(error), error, error.__traceback__)
    return capsys.readouterr().err


def wrapped(cause: Exception, explicitly: bool) -> BaseException:
    """What a config parser makes of an error, two layers deep."""
    try:
        try:
            try:
                raise cause
            except Exception as error:
                if explicitly:
                    raise RuntimeError("cannot evaluate the expression") from error
                raise RuntimeError("cannot evaluate the expression")  # noqa: B904
        except RuntimeError as error:
            raise RuntimeError("cannot instantiate the component") from error
    except RuntimeError as error:
        return error


@pytest.mark.usefixtures("hooked")
@pytest.mark.parametrize("explicitly", [True, False])
def test_last_line_is_the_cause(explicitly: bool, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(wrapped(errors.DatalistError("list.json: not there"), explicitly), capsys)
    assert text.startswith("Traceback")
    assert "cannot instantiate the component" in text
    assert text.rstrip().splitlines()[-1] == "DatalistError: list.json: not there"


@pytest.mark.usefixtures("hooked")
def test_own_error_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(errors.InputError("scan.nii: truncated"), capsys)
    assert text.count("scan.nii: truncated") == 1


@pytest.mark.usefixtures("hooked")
def test_other_errors_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    error = wrapped(KeyError("image"), explicitly=True)
    text = printed(error, capsys)
    sys.__excepthook__(type(error), error, error.__traceback__)
    assert text == capsys.readouterr().err


@pytest.mark.usefixtures("hooked")
def test_messages_are_shown_once_however_often_it_is_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_console()
    logging.getLogger("monai_dino.data.cases").info("%s: read", "scan.nii")
    assert capsys.readouterr().err == "scan.nii: read\n"


@pytest.mark.usefixtures("hooked")
def test_many_messages_of_a_kind_are_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("monai_dino.data.cases")
    for index in range(30):
        logger.info("%s: no voxel is labelled", f"case{index}")
    logger.info("another kind")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        *(f"case{index}: no voxel is labelled" for index in range(19)),
        "case19: no voxel is labelled (further ones are not shown)",
        "another kind",
    ]
