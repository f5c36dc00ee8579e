# SPDX-License-Identifier: Apache-2.0
"""What a person types to run a bundle, and sees on the console while it runs."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import Any

from fire import Fire
from monai.bundle import ConfigParser, ConfigWorkflow, run, update_kwargs
from tqdm import tqdm

from monai_dino.errors import ConfigurationError, MonaiDinoError

__all__ = ["refuse_unknown_settings", "set_up_console"]

_SHOWN = 20  # times that one kind of message is shown
_PROGRAM = ("monai", "bundle", "__main__.py")
_REFERENCE = re.compile(r"[@%](?:::|#)*(\w+)")
_WORDS = {"false": "False", "true": "True", "null": "None"}
_OTHER_FILE = re.compile(r"%[^'\"]*\.(?:json|ya?ml)", re.IGNORECASE)


class _FewOfAKind(logging.Filter):
    """Lets the first few messages of a kind through, and says that there were more."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        self.seen[record.msg] += 1
        if self.seen[record.msg] == _SHOWN:
            record.msg = f"{record.msg} (further ones are not shown)"
            self.seen[record.msg] = _SHOWN
        return self.seen[record.msg] <= _SHOWN


class _AboveBars(logging.Handler):
    """Writes messages to standard error without tearing the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def set_up_console() -> None:
    """Shows the package's log messages, and makes the last line of a traceback the error that caused it.

    MONAI's config parser wraps what goes wrong in errors about expressions and components; a person who runs a bundle
    should not have to search the traceback for what to do. The bundles call this when they start, so it is also where
    misspelt settings are refused before anything is read.

    Raises:
        ConfigurationError: see :func:`refuse_unknown_settings`.
    """
    _show_messages_and_causes()
    refuse_unknown_settings(sys.argv)


def refuse_unknown_settings(argv: Sequence[str]) -> None:
    """Refuses settings that ``python -m monai.bundle run`` would pass over, because nothing reads them, or mistake.

    MONAI adds ``--epoch 5`` to a configuration that has ``epochs``. A setting is taken for misspelt when it is neither
    an argument of MONAI's nor in the configuration files, and no other value refers to it (``@NAME``). Commands of
    which not all can be seen from here pass: with ``workflow_name``, ``tracking``, or values from other files
    (``%FILE``); so does what lies deeper than the name before ``::``. ``--resume false`` is text to MONAI, as true as
    any other: Python's words are ``False``, ``True`` and ``None``.

    Args:
        argv: the command line, the program first. Other programs than ``monai.bundle run`` pass.

    Raises:
        ConfigurationError: for settings that nothing reads; it names each, and the nearest one that there is. For the
            texts ``false``, ``true`` and ``null``.
    """
    given = _as_monai_reads(argv)
    for key, value in given.items():
        if isinstance(value, str) and value.lower() in _WORDS:
            raise ConfigurationError(f"{key}={value}: is text to MONAI; write --{key} {_WORDS[value.lower()]}")
    if "config_file" not in given or {"workflow_name", "tracking"} & given.keys():
        return
    config = ConfigParser.load_config_files(given["config_file"])
    everything = str([config, given])
    if _OTHER_FILE.search(everything):
        return
    arguments = signature(ConfigWorkflow).parameters
    ids = [given.get(*default) for default in (("init_id", "initialize"), ("run_id", "run"), ("final_id", "finalize"))]
    known = {*config, *arguments, *map(_first_name, ids), *_REFERENCE.findall(everything)}
    unknown = [key for key, value in given.items() if _first_name(key) not in known and not _has_effect(key, value)]
    if unknown:
        raise ConfigurationError(
            "\n".join(_unknown_setting(key, given["config_file"], [*config, *arguments]) for key in unknown)
        )


def _as_monai_reads(argv: Sequence[str]) -> dict[str, Any]:
    """Arguments and settings of ``monai.bundle run``, those in its ``args_file`` included; empty for other programs."""
    found: dict[str, Any] = {}
    if Path(argv[0]).parts[-3:] != _PROGRAM or argv[1:2] != ["run"] or {"-", "--"} & set(argv):
        return found

    @wraps(run)
    def collect(*args: Any, **kwargs: Any) -> None:
        arguments = signature(run).bind(*args, **kwargs).arguments
        found.update(arguments.pop("override", {}) | arguments)

    with suppress(SystemExit), redirect_stderr(io.StringIO()):  # what Fire cannot take it will say after the run
        Fire(collect, command=list(argv[2:]))
    read: dict[str, Any] = update_kwargs(args=found.pop("args_file", None), **found)
    return read


def _first_name(key: str) -> str:
    return re.split("::|#", str(key))[0]


def _has_effect(key: str, value: Any) -> bool:
    """Whether MONAI itself reads it: metadata, and what is imported for expressions."""
    return _first_name(key).startswith("_") or (isinstance(value, str) and value.startswith(("$import ", "$from ")))


def _unknown_setting(key: str, files: Any, names: Sequence[str]) -> str:
    near = get_close_matches(_first_name(key), names, n=1)
    advice = f"did you mean {near[0]}?" if near else "the bundle's docs/README.md lists its settings"
    return f"{key}: no setting of {files}, and no other value refers to it, so that nothing would read it; {advice}"


def _show_messages_and_causes() -> None:
    logger = logging.getLogger("monai_dino")
    if any(isinstance(handler, _AboveBars) for handler in logger.handlers):
        return
    handler = _AboveBars()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(_FewOfAKind())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    previous = sys.excepthook

    def end_with_cause(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        previous(kind, error, trace)
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, MonaiDinoError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None and cause is not error:
            print(f"\n{type(cause).__name__}: {cause}", file=sys.stderr)

    sys.excepthook = end_with_cause
