# SPDX-License-Identifier: Apache-2.0
"""The datalists of ``python -m monai_dino few-shot`` on the public data, and their runs.

    python benchmarks/few_shot_networks.py hippocampus_mr --data DATA --weights WEIGHTS --output FOLDER
    python benchmarks/few_shot_networks.py breast_us_classes --data DATA --weights WEIGHTS --output FOLDER

Of the ultrasound images near-duplicates are one patient. ``guidedrandom`` is ``dinoguided`` with the encoder frozen at
random weights (seed 0). Stopped, the same command goes on with what is not done.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from readouts import UltrasoundClass

from monai_dino.commands import main as monai_dino_command
from monai_dino.files import write_json
from monai_dino.networks import DinoEncoder

RANDOM = "guidedrandom"
STUDIES: dict[str, dict[str, list[str]]] = {
    "hippocampus_mr": {
        "datalist": [
            *("--images", "images", "--masks", "labels", "--modality", "MR"),
            *("--label-names", "background", "anterior", "posterior"),
        ],
        "algorithms": ["dinoguided", RANDOM, "unet2d", "attentionunet2d"],
        "few-shot": [
            *("--shots", "4", "16", "64", "--test-share", "0.2"),
            *("--set", "plane=sagittal", "image_size=112", "slice_size=[48,64]"),
        ],
    },
    "breast_us_classes": {
        "datalist": ["--classes", "folder", "--modality", "US"],
        "algorithms": ["dinofrozen", "dinolora", "resnet18", "densenet"],
        "few-shot": [
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


def random_control(weights: Path, folder: Path) -> str:
    """Writes the algorithm that is ``dinoguided`` but for its weights; the preparation of images is the same."""
    algorithm, encoder = folder / f"{RANDOM}.json", folder / "random"
    if not algorithm.exists():
        torch.manual_seed(0)
        DinoEncoder("dinov2_small", in_channels=3).save_pretrained(encoder)
        shutil.copy(weights / "config.json", encoder)
        settings = {"weights": str(encoder.absolute()), "adaptation": "frozen", "decoder": "guided"}
        rates = {"learning_rate": 1e-3, "encoder_learning_rate": 1e-4}
        about = "as dinoguided, with the encoder frozen at random weights"
        write_json(algorithm, {"name": RANDOM, "about": about, "settings": settings | rates})
    return str(algorithm)


def main() -> None:
    """Writes the datalist, and runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="Hugging Face folder of DINOv2-S")
    parser.add_argument("--output", type=Path, required=True, help="folder of trainings and results")
    parser.add_argument("--algorithms", nargs="+", metavar="NAME", help="others than those of the study")
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--draws", type=int, default=2)
    options = parser.parse_args()
    study, root = STUDIES[options.study], options.data / options.study
    datalist = options.output / "datalist.json"
    if not datalist.exists():
        monai_dino_command(["datalist", str(root), *study["datalist"], "--output", str(datalist)])
        if options.study == "breast_us_classes":
            group_near_duplicates(datalist, options.data)
    where = ["--dataset-dir", str(root), "--output", str(options.output), "--weights", str(options.weights)]
    how = ["--steps", str(options.steps), "--draws", str(options.draws), "--num-workers", "0", *study["few-shot"]]
    names = options.algorithms or study["algorithms"]
    algorithms = [random_control(options.weights, options.output) if name == RANDOM else name for name in names]
    raise SystemExit(monai_dino_command(["few-shot", str(datalist), *where, *how, "--algorithms", *algorithms]))


if __name__ == "__main__":
    main()
