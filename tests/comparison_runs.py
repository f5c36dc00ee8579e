# SPDX-License-Identifier: Apache-2.0
"""Data, tiny algorithms and commands of comparisons whose jobs run in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common import TINY
from synthetic import write_balls, write_stripes

from monai_dino.commands import main
from monai_dino.networks import DinoEncoder

UNET = {"_target_": "monai.networks.nets.UNet", "channels": [4, 8], "strides": [2]}
CHANNELS = {"in_channels": "@in_channels", "out_channels": "@out_channels"}
OWN: dict[str, dict[str, Any]] = {
    "flat": {"network": {**UNET, **CHANNELS, "spatial_dims": 2}},
    "solid": {"network": {**UNET, **CHANNELS, "spatial_dims": 3}, "dims": 3, "settings": {"learning_rate": 0.01}},
    "broken": {"network": {"_target_": "monai.networks.nets.UNet", "spatial_dims": 7}},
}


def write_compared(root: Path) -> Path:
    """Balls, striped pictures, weights of a tiny encoder, and the files of the algorithms."""
    write_balls(root / "balls", halves=True)
    write_stripes(root / "stripes", pictures=True)
    DinoEncoder(TINY["dinov2"]).save_pretrained(root / "weights")
    for name, fields in OWN.items():
        (root / f"{name}.json").write_text(json.dumps({"name": name, "about": f"the {name} one"} | fields))
    return root


def compare(here: Path, data: str, output: Path, *algorithms: str, steps: int = 2) -> int:
    return run_command("compare", here, data, output, *algorithms, "--ensemble", "2", steps=steps)


def run_command(command: str, here: Path, data: str, output: Path, *arguments: str, steps: int = 2) -> int:
    """Runs a command; the arguments are algorithms, and from the first with dashes on others."""
    count = next((k for k, word in enumerate(arguments) if word.startswith("--")), len(arguments))
    names = [str(here / f"{name}.json") if name in OWN else name for name in arguments[:count]]
    options = ["--steps", str(steps), "--num-workers", "0", "--weights", str(here / "weights")]
    options += ["--set", "image_size=28", "precision=fp32", "batch_size=4"]
    where = [str(here / data / "datalist.json"), "--output", str(output)]
    return main([command, *where, *options, "--algorithms", *names, *arguments[count:]])
