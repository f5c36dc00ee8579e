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
import torch.nn.functional as F
from monai.transforms import Compose
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import ConcatDataset, DataLoader

from monai_dino.data import SliceDataset, SliceStore, StepSampler, read_volume
from monai_dino.engines import DinoTrainer
from monai_dino.evaluation import knn_classify
from monai_dino.handlers.sample_position import SamplePositionHandler
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import Distillation, SelfDistillation
from monai_dino.ssl.student_training import StudentTraining
from monai_dino.transforms import BatchedViews, RandViewSeed, ScaleIntensityByModalityd, medical_views

ROOT = Path(__file__).resolve().parent
CLASSES = ("benign", "malignant", "normal")
STUDENT = {"model_type": "dinov2", "hidden_size": 192, "num_attention_heads": 3, "patch_size": 16, "mlp_ratio": 4}
SIZE = {"student": 112, "teacher": 98}  # pixels: a grid of 7 x 7 for both
# Of both trainings. With 0.95 the average is of the last twenty steps, which a run of a few hundred wants.
SETTINGS = {
    **{"prototypes": 1024, "head_hidden_dim": 512, "head_bottleneck_dim": 128, "learning_rate": 1e-3},
    **{"momentum": 0.95, "layer_decay": 1.0, "patch_embed_rate": 1.0},
}


class Slices(ConcatDataset):
    """Ultrasound and MR in one."""

    def set_epoch(self, epoch: int) -> None:
        for dataset in self.datasets:
            dataset.set_epoch(epoch)


class Readout:
    """The ultrasound class, read out of class tokens by 5 neighbours and by a linear classifier, balanced accuracy.

    Images of which 32 x 32 thumbnails correlate by more than 0.9 are near-duplicates: none is predicted from another.
    """

    def __init__(self, files: list[Path]) -> None:
        images = [read_volume(path).as_tensor()[:1, ..., 0].float() / 255 for path in files]
        self.images = torch.stack(images)
        self.labels = np.array([CLASSES.index(path.parent.name) for path in files])
        small = F.interpolate(self.images, (32, 32), mode="area").flatten(1).numpy()
        self.groups = connected_components(np.corrcoef(small) > 0.9)[1]

    def __call__(self, encoder: DinoEncoder, size: int) -> tuple[float, float]:
        images = F.interpolate(self.images, (size, size), mode="bilinear", antialias=True)
        with torch.no_grad():
            features = torch.cat([encoder.eval()(part).cls for part in images.split(32)])
        features -= features.mean(0)
        votes = knn_classify(
            features, features, self.labels, 5, query_groups=self.groups.tolist(), groups=self.groups.tolist()
        )
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        read = cross_val_predict(linear, features.numpy(), self.labels, groups=self.groups, cv=folds)
        return tuple(balanced_accuracy_score(self.labels, found) for found in (votes.argmax(1).numpy(), read))


def slices_of(data: Path, files: list[Path], folder: Path, samples: int, seed: int) -> Slices:
    """Slices of breast ultrasound, and as many of the hippocampus."""
    parts = []
    for modality, paths in (("us", files), ("mr", sorted((data / "hippocampus_mr" / "images").glob("*.nii.gz")))):
        store = SliceStore([{"image": str(path)} for path in paths], folder / modality, modality=modality)
        transform = Compose([ScaleIntensityByModalityd("image", modality), RandViewSeed()])
        parts.append(SliceDataset(store, transform, samples=samples, seed=seed))
    return Slices(parts)


def train(network: StudentTraining, slices: Slices, batch_size: int, seed: int) -> float:
    """Trains a student, and returns the seconds of a step."""
    size = SIZE["student"]
    recipe = {"patch_size": 16, "global_size": size, "local_size": 48, "local_count": 4, "artefacts": False}
    sampler = StepSampler(len(slices), batch_size, seed=seed)
    loader = DataLoader(slices, batch_sampler=sampler, collate_fn=BatchedViews(medical_views("us", "dinov2", **recipe)))
    trainer = DinoTrainer("cpu", 1, loader, network, "auto", seed=seed, train_handlers=[SamplePositionHandler(loader)])
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
    files = sorted(path for name in CLASSES for path in (options.data / "breast_us_classes" / name).glob("*.jp*g"))
    readout = Readout(files)
    teacher = DinoEncoder(weights=options.weights)
    found = {"teacher": [(*readout(teacher, SIZE["teacher"]), 0.0)]}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            encoder = student(seed, options.blocks)
            rows = {"student, untrained": (*readout(encoder, SIZE["student"]), 0.0)}
            for name in ("student without teacher", "student distilled"):
                encoder, settings = student(seed, options.blocks), {"batch_size": options.batch_size, **SETTINGS}
                network: StudentTraining
                if name == "student distilled":
                    network = Distillation(encoder, teacher, "dinov2", **settings)
                else:
                    network = SelfDistillation(encoder, "dinov2", drop_path=0.1, **settings)
                slices = slices_of(options.data, files, Path(folder), options.steps * options.batch_size // 2, seed)
                seconds = train(network, slices, options.batch_size, seed)
                rows[name] = (*readout(network.average.encoder, SIZE["student"]), seconds)
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
