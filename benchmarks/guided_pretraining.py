# SPDX-License-Identifier: Apache-2.0
"""Pretrains with label-guided local views and with as many random ones, and measures what the features are worth.

    python benchmarks/guided_pretraining.py --data DATA --steps 300 --seeds 0 1 2 --encoders ENCODERS

Trained on slices with masks: hippocampi, brain tumours and lesions of the breast. Both kinds see two usual local views
of a slice; two more are guided in one and usual in the other. The encoders are kept, for
``benchmarks/attention_detection.py``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from pretraining import NETWORKS, ROOT
from readouts import SEQUENCES, HippocampusDice, MrSequence, UltrasoundClass, hippocampus_cases
from torch.utils.data import DataLoader

from monai_dino.data import JoinedSlices, SliceDataset, SliceStore, StepSampler
from monai_dino.engines import DinoTrainer
from monai_dino.handlers import CollapseMonitor, InstrumentsHandler
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import SelfDistillation
from monai_dino.transforms import BatchedViews, RandViewSeed, ScaleIntensityByModalityd, medical_views

LEARNING_RATE = 7.07e-4
SHARES = {"hippo": 0.4, "us": 0.3, "brain": 0.3}
VIEWS: dict[str, dict[str, Any]] = {
    "random": {"local_count": 4},
    "guided": {"local_count": 2, "label_key": "label", "guided_count": 2},
}


def labelled_cases(data: Path) -> dict[str, list[dict[str, str]]]:
    """Images with their masks; of the ultrasound images those with one mask."""
    us, brain = data / "breast_us", data / "brain_tumour_mr"
    lesions = [(p, us / "masks" / f"{p.stem}_mask.png") for p in sorted((us / "images").glob("*.jp*g"))]
    one = [(p, m) for p, m in lesions if m.exists() and not m.with_name(f"{p.stem}_mask_1.png").exists()]
    tumours = [
        (p, p.with_name(p.name.replace(f"_{name}.", "_mask.")))
        for name in SEQUENCES
        for p in sorted(brain.glob(f"*_{name}.nii.gz"))
    ]
    pairs = {"us": one, "brain": tumours}
    return {
        "hippo": hippocampus_cases(data),
        **{name: [{"image": str(p), "label": str(m)} for p, m in found] for name, found in pairs.items()},
    }


def joined_slices(data: Path, stores: Path, samples: int, seed: int) -> JoinedSlices:
    """The three data sets, each with its share of the samples."""
    parts = []
    for name, cases in labelled_cases(data).items():
        modality, plane, channels = ("us" if name == "us" else "mr"), "sagittal" if name == "hippo" else "axial", 3
        store = SliceStore(cases, stores / f"labelled_{name}", plane, out_channels=channels, modality=modality)
        transform = Compose([ScaleIntensityByModalityd("image", modality), RandViewSeed()])
        parts.append(SliceDataset(store, transform, samples=round(SHARES[name] * samples), seed=seed))
    return JoinedSlices(parts)


def trainer_of(kind: str, folder: Path, options: argparse.Namespace, seed: int) -> DinoTrainer:
    """A training with a kind of views."""
    torch.manual_seed(seed)
    encoder = DinoEncoder(NETWORKS["4x96"])
    adapt(encoder, "full")
    network = SelfDistillation(encoder, "small", options.batch_size, learning_rate=LEARNING_RATE)
    size = {"patch_size": encoder.patch_size, "global_size": 96, "local_size": 48}
    views = BatchedViews(medical_views("xray", "dino-mx", **size, **VIEWS[kind]))
    slices = joined_slices(options.data, folder.parent, options.batch_size * 50, seed)
    loader: DataLoader[Any] = DataLoader(
        slices, batch_sampler=StepSampler(len(slices), options.batch_size, seed=seed), collate_fn=views
    )
    epochs = max(1, round(options.steps / len(loader)))
    handlers = [InstrumentsHandler(folder), CollapseMonitor(folder)]
    return DinoTrainer("cpu", epochs, loader, network, options.precision, seed=seed, train_handlers=handlers)


def measure(kind: str, seed: int, folder: Path, options: argparse.Namespace, readouts: list[Any]) -> dict[str, Any]:
    """Trains, reads out before and after, and keeps the encoder."""
    trainer = trainer_of(kind, folder, options, seed)
    encoder = trainer.network.average.encoder
    before = [value for readout in readouts for value in readout(encoder)]
    trainer.run()
    after = [value for readout in readouts for value in readout(encoder)]
    if options.encoders:
        encoder.save_pretrained(options.encoders / f"{kind}-{seed}")
    return {"kind": kind, "seed": seed, "before": before, "after": after, "steps": trainer.state.iteration}


def table(rows: list[dict[str, Any]], names: list[str]) -> str:
    """The results as Markdown: means over seeds, and the least and the greatest."""
    lines = ["| views | seeds | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for kind in ("before", *dict.fromkeys(row["kind"] for row in rows)):
        own = [row for row in rows if kind in ("before", row["kind"])]
        values = np.array([row["before" if kind == "before" else "after"] for row in own])
        cells = [f"{v.mean():.3f} ({v.min():.3f} to {v.max():.3f})" for v in values.T]
        name = "untrained" if kind == "before" else kind
        lines.append(f"| {name} | {len({row['seed'] for row in own})} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", choices=VIEWS, default=list(VIEWS))
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--encoders", type=Path, help="folder that the encoders are kept in")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "guided_pretraining.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        readouts = [kind(options.data, Path(temporary), 96) for kind in (UltrasoundClass, MrSequence, HippocampusDice)]
        names = [name for readout in readouts for name in readout.names]
        for seed in options.seeds:
            for kind in options.kinds:
                rows.append(measure(kind, seed, Path(temporary) / f"{kind}-{seed}", options, readouts))
                print(json.dumps(rows[-1]), flush=True)
                options.output.write_text(json.dumps({"names": names, "rows": rows}, indent=1))
    print(table(rows, names) + f"\nwrote {options.output}")


if __name__ == "__main__":
    main()
