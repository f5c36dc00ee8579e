# SPDX-License-Identifier: Apache-2.0
"""The typed errors that a user of the package can meet.

Each message names the file, case or key, what was found, what was wanted, and what to do.
"""

from __future__ import annotations

import sys
from types import TracebackType


class MonaiDinoError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(MonaiDinoError, ValueError):
    """A setting has a value that cannot work: an unknown name, a size that does not fit, settings that clash."""


class WeightsError(MonaiDinoError, ValueError):
    """A weights source cannot be found, reached or read, or does not fit the architecture."""


class DatalistError(MonaiDinoError, ValueError):
    """A datalist, or the folder it is built from, is not what the workflow needs."""


class InputError(MonaiDinoError, ValueError):
    """An image or a label on disk cannot be used as it is."""


def end_tracebacks_with_cause() -> None:
    """Makes the last line of a traceback the error of this package that caused it.

    MONAI's config parser wraps what goes wrong in errors about expressions and components; a person who runs a bundle
    should not have to search the traceback for what to do. The bundles call this when they start.
    """
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        previous(kind, error, trace)
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, MonaiDinoError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None and cause is not error:
            print(f"\n{type(cause).__name__}: {cause}", file=sys.stderr)

    sys.excepthook = hook
