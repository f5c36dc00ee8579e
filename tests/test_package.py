# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import monai_dino

ROOMS = [
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
]


def test_import_is_cheap() -> None:
    heavy = ("torch", "monai", "transformers", "peft", "numpy")
    code = f"import sys, monai_dino, monai_dino.errors; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_rooms_are_the_folders() -> None:
    folder = Path(monai_dino.__file__).parent
    found = {p.stem for p in folder.iterdir() if (p / "__init__.py").is_file() or p.suffix == ".py"}
    # The bundles lie there in a wheel alone; files.py serves the rooms.
    assert found - {"__init__", "__main__", "bundles", "files"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_can_be_reached(room: str) -> None:
    module = getattr(monai_dino, room)
    assert isinstance(module, ModuleType)
    assert module is sys.modules[f"monai_dino.{room}"]
    assert module.__doc__


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "errors"])
def test_what_a_room_promises_is_there(room: str) -> None:
    module = getattr(monai_dino, room)
    assert module.__all__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__doc__, name


def test_unknown_room() -> None:
    with pytest.raises(AttributeError, match="module 'monai_dino' has no attribute 'losts'"):
        monai_dino.losts  # type: ignore[attr-defined]  # noqa: B018


def test_rooms_are_imported_when_asked_for() -> None:
    code = "import sys, monai_dino; monai_dino.commands; print('torch' in sys.modules, *dir(monai_dino))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert found[0] == "False"
    assert set(ROOMS) <= set(found)
