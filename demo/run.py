# SPDX-License-Identifier: Apache-2.0
"""The demo: trains and applies a segmenter and a classifier on the MNI152 head, with commands that a user would run.

Without ``--weights`` a small transformer is trained from nothing, so that no download is needed. There is one head: the
figures show that everything works, not how well it generalises to patients.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from make_data import write_classification, write_segmentation
from page import write_page

ROOT = Path(__file__).resolve().parent.parent
SMALL = {
    "model_type": "dinov2",
    "hidden_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "image_size": 112,
    "patch_size": 14,
    "layerscale_value": 1.0,
}


class Demo:
    """Runs commands, prints them, and keeps them for the page."""

    def __init__(self, output: Path, minutes: float, weights: str | None, resolution: int) -> None:
        self.output = output
        self.minutes = minutes
        self.resolution = resolution
        self.commands: list[str] = []
        self.from_nothing = weights is None
        encoder = {"weights": weights} if weights else {"encoder": json.dumps(SMALL), "adaptation": "full"}
        self.training = {"image_size": 112, "epochs": 1000, "num_workers": 0, **encoder}

    def call(self, *arguments: str) -> None:
        """Runs ``python -m ...``."""
        shown = " ".join(["python -m", *(a if " " not in a and "{" not in a else f"'{a}'" for a in arguments)])
        print(f"\n$ {shown}", flush=True)
        self.commands.append(shown)
        subprocess.run([sys.executable, "-W", "ignore", "-m", *arguments], check=True, cwd=self.output)  # noqa: S603

    def bundle(self, name: str, config: str, **settings: object) -> None:
        """Runs a configuration of a bundle that was copied out."""
        options = [x for key, value in settings.items() for x in (f"--{key}", str(value))]
        configs = f"{name}/configs/{config}.json"
        self.call(
            "monai.bundle", "run", "--config_file", configs, "--meta_file", f"{name}/configs/metadata.json",
            "--bundle_root", name, *options,
        )  # fmt: skip

    def run(self) -> None:
        """The whole demo."""
        data = self.output / "data"
        write_segmentation(data / "tissue", self.resolution)
        write_classification(data / "planes", self.resolution)
        for name in ("dino_segmentation", "dino_classification"):
            self.call("monai_dino", "bundles", name, name)
        split = ("--test-share", "0.25", "--folds", "3", "--modality", "mr")
        names = ("--label-names", "background", "grey", "white")
        self.call("monai_dino", "datalist", "data/tissue", "--images", "images", "--masks", "labels", *names, *split)
        self.call("monai_dino", "datalist", "data/planes", "--classes", "folder", *split)
        common = {"learning_rate": 0.002, "encoder_learning_rate": 0.0005, **self.training}
        self.bundle(
            "dino_segmentation", "train", dataset_dir="data/tissue", max_minutes=self.minutes, batch_size=8,
            samples_per_epoch=160, val_interval=2, **common,
        )  # fmt: skip
        self.bundle("dino_segmentation", "evaluate", dataset_dir="data/tissue")
        self.bundle("dino_segmentation", "inference", dataset_dir="data/tissue/images", output_dir="results/tissue")
        if self.from_nothing:  # without a decoder's help it learns slowly; fewer patches make more steps
            common |= {"image_size": 56, "encoder_learning_rate": 0.001}
        self.bundle(
            "dino_classification", "train", dataset_dir="data/planes", max_minutes=self.minutes / 2, num_slices=4,
            val_interval=5, **common,
        )  # fmt: skip
        self.bundle("dino_classification", "evaluate", dataset_dir="data/planes")
        self.bundle("dino_classification", "inference", dataset_dir="data/planes", output_dir="results/planes")


def main() -> None:
    """Reads the command line and runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "demo_output", help="folder to make")
    parser.add_argument(
        "--minutes", type=float, default=2.5, help="time to train the segmenter; the classifier has half"
    )
    parser.add_argument("--weights", help="a DINO checkpoint to start from: Hugging Face folder or hub id, or a file")
    parser.add_argument("--resolution", type=int, default=2, help="size of a voxel in mm")
    options = parser.parse_args()
    output = options.output.resolve()
    if output.exists():
        raise SystemExit(f"{output} is there already; remove it, or name another folder with --output")
    output.mkdir(parents=True)
    weights = options.weights
    if weights and Path(weights).exists():
        weights = str(Path(weights).resolve())
    started = time.monotonic()
    demo = Demo(output, options.minutes, weights, options.resolution)
    demo.run()
    page = write_page(output, demo.commands, time.monotonic() - started)
    print(f"\nthe demo took {(time.monotonic() - started) / 60:.1f} minutes; read {page}")


if __name__ == "__main__":
    main()
