# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino bundles``: lists the bundles and copies one out."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import monai_dino
from monai_dino.errors import ConfigurationError

__all__ = ["add_parser", "bundles_path"]

_COPIED = ("configs", "docs", "LICENSE")  # not models and outputs that a checkout may hold


def bundles_path() -> Path:
    """The folder of the bundles: inside an installed package, beside it in a checkout.

    Returns:
        The folder.

    Raises:
        ConfigurationError: when it is in neither place.
    """
    package = Path(monai_dino.__file__).parent
    for folder in (package / "bundles", package.parent / "bundles"):
        if folder.is_dir():
            return folder
    raise ConfigurationError(f"the bundles are neither in {package} nor beside it; install the package again")


def add_parser(commands: Any) -> None:
    """Adds the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "bundles",
        help="list the MONAI bundles, or copy one out",
        description="Without arguments lists the bundles. With a name and a folder copies a bundle there.",
    )
    parser.add_argument("name", nargs="?", help="bundle to copy")
    parser.add_argument("destination", nargs="?", type=Path, help="folder to make; the bundle's files go into it")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    root = bundles_path()
    names = sorted(p.name for p in root.iterdir() if (p / "configs" / "metadata.json").is_file())
    if options.name is None:
        for name in names:
            metadata = json.loads((root / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
            print(f"{name} {metadata['version']}  {metadata['task']}")
        return
    if options.name not in names:
        raise ConfigurationError(f"no bundle {options.name!r}; there are {', '.join(names)}")
    if options.destination is None:
        raise ConfigurationError(f"where to? python -m monai_dino bundles {options.name} DESTINATION")
    if options.destination.exists():
        raise ConfigurationError(f"{options.destination} is there already; name a folder that is not")
    for part in _COPIED:
        source, target = root / options.name / part, options.destination / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    print(f"copied {options.name} to {options.destination}")
