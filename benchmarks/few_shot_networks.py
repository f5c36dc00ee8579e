# SPDX-License-Identifier: Apache-2.0
"""The datalists of ``python -m monai_dino few-shot`` on the public data, and their runs.

    python benchmarks/few_shot_networks.py hippocampus_mr --data DATA --weights WEIGHTS --output FOLDER
    python benchmarks/few_shot_networks.py breast_us_classes --data DATA --weights WEIGHTS --output FOLDER

Of the ultrasound images near-duplicates are one patient. Stopped, the same command goes on with what is not done.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from readouts import UltrasoundClass

from monai_dino.commands import main as monai_dino_command
from monai_dino.files import write_json

STUDIES: dict[str, dict[str, list[str]]] = {
    "hippocampus_mr": {
        "datalist": [
            *("--images", "images", "--masks", "labels", "--modality", "MR"),
            *("--label-names", "background", "anterior", "posterior"),
        ],
        "few-shot": [
            *("--algorithms", "dinoguided", "dinolinear", "unet2d", "attentionunet2d", "unet3d"),
            *("--shots", "4", "16", "64", "--test-share", "0.2"),
            *("--set", "plane=sagittal", "image_size=112", "slice_size=[48,64]"),
        ],
    },
    "breast_us_classes": {
        "datalist": ["--classes", "folder", "--modality", "US"],
        "few-shot": [
            *("--algorithms", "dinofrozen", "dinolora", "resnet18", "densenet"),
            *("--shots", "4", "16", "32", "--test-share", "0.25"),
            *("--set", "image_size=112", "flip_prob=0.5"),
        ],
    },
}


def group_near_duplicates(datalist: Path, data: Path) -> None:
    """Makes near-duplicates of the ultrasound images one patient."""
    content: dict[str, Any] = json.loads(datalist.read_text())
    with tempfile.TemporaryDirectory() as folder:
        readout = UltrasoundClass(data, Path(folder), 96)
    root = data / "breast_us_classes"
    groups = {
        path.relative_to(root).as_posix(): int(group) for path, group in zip(readout.files, readout.groups, strict=True)
    }
    for item in (*content["training"], *content["testing"]):
        item["patient"] = f"group{groups[item['image']]}"
    write_json(datalist, content)


def main() -> None:
    """Writes the datalist, and runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of trainings and results")
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--draws", type=int, default=2)
    options = parser.parse_args()
    study, root = STUDIES[options.study], options.data / options.study
    datalist = options.output / "datalist.json"
    if not datalist.exists():
        monai_dino_command(["datalist", str(root), *study["datalist"], "--output", str(datalist)])
        if options.study == "breast_us_classes":
            group_near_duplicates(datalist, options.data)
    where = [str(datalist), "--dataset-dir", str(root), "--output", str(options.output), "--weights", options.weights]
    how = ["--steps", str(options.steps), "--draws", str(options.draws), "--num-workers", "0"]
    raise SystemExit(monai_dino_command(["few-shot", *where, *how, *study["few-shot"]]))


if __name__ == "__main__":
    main()
