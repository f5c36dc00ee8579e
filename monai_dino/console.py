# SPDX-License-Identifier: Apache-2.0
"""What a person sees on the console while a bundle runs."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from types import TracebackType

from tqdm import tqdm

from monai_dino.errors import MonaiDinoError

__all__ = ["set_up_console"]

_SHOWN = 20  # times that one kind of message is shown


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
    should not have to search the traceback for what to do. The bundles call this when they start.
    """
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
