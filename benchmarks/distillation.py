# SPDX-License-Identifier: Apache-2.0
"""Measures what a student learns from a teacher with real weights, beside the same student without a teacher.

python shared/tools/get_dinov2_small.py WEIGHTS
python benchmarks/distillation.py --data DATA --weights WEIGHTS --steps 600 --seeds 3
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

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
# Without a teacher, the preset `small` as it is. With one, as many prototypes as describe its features, at the
# temperature that their logits were spread for.
DISTILLED = {"prototypes": 1024, "teacher_temp": 0.07, "teacher_temp_start": 0.07}


def slices_of(data: Path, files: list[Path], folder: Path, samples: int, seed: int) -> JoinedSlices:
    """Slices of breast ultrasound, and as many of the hippocampus."""
    parts = []
    for modality, paths in (("us", files), ("mr", sorted((data / "hippocampus_mr" / "images").glob("*.nii.gz")))):
        store = SliceStore([{"image": str(path)} for path in paths], folder / modality, modality=modality)
        transform = Compose([ScaleIntensityByModalityd("image", modality), RandViewSeed()])
        parts.append(SliceDataset(store, transform, samples=samples, seed=seed))
    return JoinedSlices(parts)


def train(network: StudentTraining, slices: JoinedSlices, batch_size: int, seed: int) -> float:
    """Trains a student, and returns the seconds of a step."""
    size = SIZE["student"]
    recipe = {"patch_size": STUDENT["patch_size"], "global_size": size, "local_size": 48, "local_count": 4}
    sampler = StepSampler(len(slices), batch_size, seed=seed)
    loader = DataLoader(
        slices, batch_sampler=sampler, collate_fn=BatchedViews(medical_views("xray", "dino-mx", **recipe))
    )
    trainer = DinoTrainer("cpu", 1, loader, network, "auto", seed=seed)
    start = time.perf_counter()
    trainer.run()
    return (time.perf_counter() - start) / trainer.state.iteration


def student(seed: int) -> DinoEncoder:
    torch.manual_seed(seed)
    encoder = DinoEncoder(STUDENT)
    adapt(encoder, "full")
    return encoder


def main() -> None:
    """Measures and writes results/distillation.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    files = ultrasound_files(options.data)
    teacher = DinoEncoder(weights=options.weights)
    with tempfile.TemporaryDirectory() as folder:
        readout = UltrasoundClass(options.data, Path(folder), SIZE["student"])
        found = {"teacher": [(*UltrasoundClass(options.data, Path(folder), SIZE["teacher"])(teacher), 0.0)]}
        for seed in range(options.seeds):
            encoder = student(seed)
            rows = {"student, untrained": (*readout(encoder), 0.0)}
            for name in ("student without teacher", "student distilled"):
                encoder = student(seed)
                network: StudentTraining
                if name == "student distilled":
                    network = Distillation(encoder, teacher, "small", options.batch_size, **DISTILLED)
                else:
                    network = SelfDistillation(encoder, "small", options.batch_size)
                slices = slices_of(options.data, files, Path(folder), options.steps * options.batch_size // 2, seed)
                seconds = train(network, slices, options.batch_size, seed)
                rows[name] = (*readout(network.average.encoder), seconds)
            for name, row in rows.items():
                found.setdefault(name, []).append(row)
                print(f"seed {seed}, {name}: 5-NN {row[0]:.3f}, linear {row[1]:.3f}, {row[2]:.2f} s a step", flush=True)
    write(found, options, len(np.unique(readout.groups)))


def write(found: dict[str, list[tuple[float, float, float]]], options: argparse.Namespace, groups: int) -> None:
    lines = [
        "# Distillation",
        "",
        "A student of 4 blocks of width 96, with patches of 12, at 84 pixels, from random weights: with a teacher, the",
        "DINOv2-small-derived weights (12 blocks of width 384, patches of 14, at 98 pixels), and without one, with",
        f"`small`. {options.steps} steps of {options.batch_size} slices of breast_us_classes and hippocampus_mr,",
        f"{options.seeds} seeds, the same slices and views. Balanced accuracy of the ultrasound class (257 images,",
        f"{groups} groups of near-duplicates, none predicted from its own) from class tokens of the average; mean over",
        "the seeds, least and largest.",
        "",
        "    python benchmarks/distillation.py --data DATA --weights WEIGHTS"
        f" --steps {options.steps} --seeds {options.seeds} --batch-size {options.batch_size}",
        "",
        "| encoder | 5-NN | linear | seconds a step |",
        "|---|---|---|---|",
    ]
    for name, rows in found.items():
        knn, linear, seconds = np.array(rows).T
        cells = [
            f"{x.mean():.3f} ({x.min():.3f} to {x.max():.3f})" if len(x) > 1 else f"{x[0]:.3f}" for x in (knn, linear)
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {f'{seconds.mean():.2f}' if seconds.any() else ''} |")
    path = ROOT / "results" / "distillation.md"
    path.write_text("\n".join(lines) + "\n")
    print("\n".join(lines[12:]))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
