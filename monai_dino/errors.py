# SPDX-License-Identifier: Apache-2.0
"""The typed errors that a user of the package can meet.

Each message names the file, case or key, what was found, what was wanted, and what to do.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigurationError",
    "DatalistError",
    "InputError",
    "MonaiDinoError",
    "NetworkError",
    "WeightsError",
]


class MonaiDinoError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigurationError(MonaiDinoError, ValueError):
    """A setting has a value that cannot work: an unknown name, a size that does not fit, settings that clash."""


class WeightsError(MonaiDinoError, ValueError):
    """A weights source cannot be found, reached or read, or does not fit the architecture."""


class NetworkError(MonaiDinoError, ArithmeticError):
    """A network's output is not finite."""


class DatalistError(MonaiDinoError, ValueError):
    """A datalist, or the folder it is built from, is not what the workflow needs."""


class InputError(MonaiDinoError, ValueError):
    """An image or a label on disk cannot be used as it is."""


class CheckpointError(MonaiDinoError, OSError):
    """A checkpoint cannot be saved or read, is damaged, or belongs to another run."""
