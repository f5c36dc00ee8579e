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
from readouts import UltrasoundClass, ultrasound_files
from torch.utils.data import DataLoader

from monai_dino.data import JoinedSlices, SliceDataset, SliceStore, StepSampler
from monai_dino.engines import DinoTrainer
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import Distillation, SelfDistillation
from monai_dino.ssl.student_training import StudentTraining
from monai_dino.transforms import BatchedViews, RandViewSeed, ScaleIntensityByModalityd, medical_views

ROOT = Path(__file__).resolve().parent
STUDENT = {"model_type": "dinov2", "hidden_size": 192, "num_attention_heads": 3, "patch_size": 16, "mlp_ratio": 4}
SIZE = {"student": 112, "teacher": 98}  # pixels: a grid of 7 x 7 for both
# Of both trainings. With 0.95 the average is of the last twenty steps, which a run of a few hundred wants.
SETTINGS = {
    **{"prototypes": 1024, "head_hidden_dim": 512, "head_bottleneck_dim": 128, "learning_rate": 1e-3},
    **{"momentum": 0.95, "layer_decay": 1.0, "patch_embed_rate": 1.0},
}


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
    recipe = {"patch_size": 16, "global_size": size, "local_size": 48, "local_count": 4, "artefacts": False}
    sampler = StepSampler(len(slices), batch_size, seed=seed)
    loader = DataLoader(slices, batch_sampler=sampler, collate_fn=BatchedViews(medical_views("us", "dinov2", **recipe)))
    trainer = DinoTrainer("cpu", 1, loader, network, "auto", seed=seed)
    start = time.perf_counter()
    trainer.run()
    return (time.perf_counter() - start) / trainer.state.iteration


def student(seed: int, blocks: int) -> DinoEncoder:
    torch.manual_seed(seed)
    encoder = DinoEncoder(STUDENT | {"num_hidden_layers": blocks, "image_size": SIZE["student"]})
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
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    files = ultrasound_files(options.data)
    teacher = DinoEncoder(weights=options.weights)
    with tempfile.TemporaryDirectory() as folder:
        readout = UltrasoundClass(options.data, Path(folder), SIZE["student"])
        found = {"teacher": [(*UltrasoundClass(options.data, Path(folder), SIZE["teacher"])(teacher), 0.0)]}
        for seed in range(options.seeds):
            encoder = student(seed, options.blocks)
            rows = {"student, untrained": (*readout(encoder), 0.0)}
            for name in ("student without teacher", "student distilled"):
                encoder, settings = student(seed, options.blocks), {"batch_size": options.batch_size, **SETTINGS}
                network: StudentTraining
                if name == "student distilled":
                    network = Distillation(encoder, teacher, "dinov2", **settings)
                else:
                    network = SelfDistillation(encoder, "dinov2", drop_path=0.1, **settings)
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
        f"A student of {options.blocks} blocks of width 192, with patches of 16, at 112 pixels, from random weights:",
        "with a teacher, the DINOv2-small-derived weights (12 blocks of width 384, patches of 14, at 98 pixels), and",
        f"without one. {options.steps} steps of {options.batch_size} slices of breast_us_classes and hippocampus_mr,",
        f"{options.seeds} seeds, the same slices and settings. Balanced accuracy of the ultrasound class (257 images,",
        f"{groups} groups of near-duplicates, none predicted from its own) from class tokens of the average; mean over",
        "the seeds, least and largest.",
        "",
        "    python benchmarks/distillation.py --data DATA --weights WEIGHTS"
        f" --steps {options.steps} --seeds {options.seeds} --batch-size {options.batch_size} --blocks {options.blocks}",
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
