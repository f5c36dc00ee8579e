# SPDX-License-Identifier: Apache-2.0
"""Measures what a student learns from a teacher with real weights, beside the same student without a teacher.

    python benchmarks/distillation.py --data DATA --weights WEIGHTS --steps 600 --seeds 0 1 2

Balanced accuracy of the ultrasound class from class tokens. A student of 4 blocks of width 96, with patches of 12, at
84 pixels, from random weights; the teacher at 98 pixels; breast ultrasound and hippocampi in equal shares, the same
slices and views with and without a teacher.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from pretraining import NETWORKS
from readouts import UltrasoundClass, ultrasound_files
from torch.utils.data import DataLoader

from monai_dino.data import JoinedSlices, SliceDataset, SliceStore, StepSampler
from monai_dino.engines import DinoTrainer
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import Distillation, SelfDistillation
from monai_dino.ssl.student_training import StudentTraining
from monai_dino.transforms import BatchedViews, RandViewSeed, ScaleIntensityByModalityd, medical_views

ROOT = Path(__file__).resolve().parent
SIZE = {"student": 84, "teacher": 98}  # pixels: a grid of 7 x 7 for both
STUDENT = NETWORKS["4x96"] | {"image_size": SIZE["student"]}
DISTILLED = {"prototypes": 1024}  # as many as describe the teacher's features; without a teacher, `small` as it is


def slices_of(data: Path, files: list[Path], folder: Path, samples: int, seed: int) -> JoinedSlices:
    """Slices of breast ultrasound, and as many of the hippocampus."""
    parts = []
    for modality, paths in (("us", files), ("mr", sorted((data / "hippocampus_mr" / "images").glob("*.nii.gz")))):
        store = SliceStore([{"image": str(path)} for path in paths], folder / modality, modality=modality)
        transform = Compose([ScaleIntensityByModalityd("image", modality), RandViewSeed()])
        parts.append(SliceDataset(store, transform, samples=samples, seed=seed))
    return JoinedSlices(parts)


def train(network: StudentTraining, slices: JoinedSlices, batch_size: int, seed: int, device: str) -> float:
    """Trains a student, and returns the seconds of a step."""
    size = SIZE["student"]
    recipe = {"patch_size": STUDENT["patch_size"], "global_size": size, "local_size": 48, "local_count": 4}
    sampler = StepSampler(len(slices), batch_size, seed=seed)
    views = BatchedViews(medical_views("xray", "dino-mx", **recipe), device)
    loader = DataLoader(slices, batch_sampler=sampler, collate_fn=views)
    trainer = DinoTrainer(device, 1, loader, network.to(device), "auto", seed=seed)
    start = time.perf_counter()
    trainer.run()
    return (time.perf_counter() - start) / trainer.state.iteration


def student(seed: int) -> DinoEncoder:
    torch.manual_seed(seed)
    encoder = DinoEncoder(STUDENT)
    adapt(encoder, "full")
    return encoder


def measure(seed: int, teacher: DinoEncoder, readout: UltrasoundClass, folder: Path, options: argparse.Namespace):
    """Name of an encoder -> its two read-outs, and the seconds of a step of its training."""
    rows: dict[str, list[float]] = {"student, untrained": [*readout(student(seed)), 0.0]}
    for name in ("student without teacher", "student distilled"):
        network: StudentTraining
        if name == "student distilled":
            network = Distillation(student(seed), teacher, "small", options.batch_size, **DISTILLED)
        else:
            network = SelfDistillation(student(seed), "small", options.batch_size)
        files = ultrasound_files(options.data)
        slices = slices_of(options.data, files, folder, options.steps * options.batch_size // 2, seed)
        seconds = train(network, slices, options.batch_size, seed, options.device)
        rows[name] = [*readout(network.average.encoder), seconds]
        rows[f"{name}, not averaged"] = [*readout(network.student.encoder), seconds]
    return rows


def main() -> None:
    """Measures, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu", help="where views are made, and networks trained and read out")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "distillation.json", help="gains seeds")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.output.read_text()) if options.output.exists() else {}
    teacher = DinoEncoder(weights=options.weights).to(options.device)
    with tempfile.TemporaryDirectory() as folder:
        if "teacher" not in found:
            found["teacher"] = [*UltrasoundClass(options.data, Path(folder), SIZE["teacher"])(teacher), 0.0]
        readout = UltrasoundClass(options.data, Path(folder), SIZE["student"])
        for seed in options.seeds:
            found[f"seed {seed}"] = measure(seed, teacher, readout, Path(folder), options)
            print(f"seed {seed}: {json.dumps(found[f'seed {seed}'])}", flush=True)
            options.output.write_text(json.dumps(found, indent=1))
    print(table(found) + f"\nwrote {options.output}")


def table(found: dict[str, Any]) -> str:
    """Balanced accuracies, mean over the seeds, least and largest, as Markdown."""
    lines = ["| encoder | 5-NN | linear probe | seconds a step |", "|---|---|---|---|"]
    lines.append("| teacher | {:.3f} | {:.3f} | |".format(*found["teacher"]))
    seeds = [rows for name, rows in found.items() if name != "teacher"]
    for name in seeds[0]:
        knn, linear, seconds = np.array([rows[name] for rows in seeds]).T
        cells = [f"{x.mean():.3f} ({x.min():.3f} to {x.max():.3f})" for x in (knn, linear)]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {f'{seconds.mean():.2f}' if seconds.any() else ''} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
