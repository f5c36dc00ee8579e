# SPDX-License-Identifier: Apache-2.0
"""What the files of a bundle say."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai_dino.commands.bundles import bundles_path

REPOSITORY = Path(__file__).resolve().parents[1]


def read_config(name: str, config: str) -> dict[str, Any]:
    """A configuration as it is written."""
    return json.loads((bundles_path() / name / "configs" / f"{config}.json").read_text(encoding="utf-8"))


def targets_in(config: Any) -> Iterator[str]:
    """Every ``_target_`` of a configuration."""
    if isinstance(config, dict):
        if "_target_" in config:
            yield config["_target_"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from targets_in(value)


def documented_settings(name: str) -> dict[str, str]:
    """Settings and defaults in the table of the bundle's README."""
    text = (bundles_path() / name / "docs" / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| setting | default |") :].split("\n\n")[0].splitlines()[2:]
    found: dict[str, str] = {}
    for row in table:
        names, defaults = (cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:3])
        for key, default in zip(names.split(", "), defaults.split(", "), strict=True):
            assert key.strip("`") not in found
            found[key.strip("`")] = default
    return found


def documented_commands() -> dict[str, list[str]]:
    """Where a command that runs a bundle is documented -> what follows ``monai.bundle`` in it.

    The names that readers gave their copies, ``my_encoder`` and ``my_model``, are those of the bundles.
    """
    places = [
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *REPOSITORY.glob("bundles/*/docs/README.md"),
    ]
    found = {}
    for path in sorted(places):
        bundle = path.parts[-3] if path.parts[-3].startswith("dino_") else "dino_segmentation"
        text = path.read_text(encoding="utf-8").replace("my_encoder", "dino_pretrain").replace("my_model", bundle)
        blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
        commands = re.findall(r"monai\.bundle (run +--.*)", blocks)
        name = path.relative_to(REPOSITORY).as_posix()
        found |= {f"{name} {number}": shlex.split(command) for number, command in enumerate(commands)}
    return found
