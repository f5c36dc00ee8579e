# SPDX-License-Identifier: Apache-2.0
"""DINO, DINOv2 and DINOv3 for medical images, native to MONAI.

Importing this package is cheap: each room (``monai_dino.networks``, ``monai_dino.data``, ...) is imported when it is
first asked for, and transformers and peft when something needs them.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "auto3dseg",
    "checkpoints",
    "commands",
    "console",
    "data",
    "distributed",
    "engines",
    "errors",
    "evaluation",
    "handlers",
    "inferers",
    "losses",
    "networks",
    "ssl",
    "transforms",
    "visualize",
)


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"monai_dino.{name}")
    raise AttributeError(f"module 'monai_dino' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
