# SPDX-License-Identifier: Apache-2.0
r"""Pretrains on three small public data sets at once, and measures what the features are worth before and after.

    python benchmarks/pretraining.py --data DATA --methods small --network "dinov3 4x96" --steps 1860 \
        --shares 0.4 0.3 0.3 --seeds 0 1 2
    python benchmarks/pretraining.py --data DATA --methods softmax softmax2048 --network 6x192 --steps 900 \
        --stop 100 --batch-size 16 --seeds 7
    python benchmarks/pretraining.py --data DATA --weights WEIGHTS --methods lora frozen6 full --steps 200 \
        --batch-size 16 --shares 0.4 0.3 0.3 --seeds 0

Ultrasound of the breast, hippocampi (MR) and brain tumours (MR): about 4,400 slices of 96 pixels. Labels are used by
the read-outs alone (``readouts.py``).
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.transforms import Compose
from readouts import HippocampusDice, MrSequence, UltrasoundClass, brain_files, hippocampus_cases, ultrasound_files
from torch.utils.data import DataLoader

from monai_dino.data import JoinedSlices, SliceDataset, SliceStore, StepSampler
from monai_dino.engines import DinoTrainer
from monai_dino.handlers import CollapseMonitor, InstrumentsHandler
from monai_dino.networks import DinoEncoder, adapt
from monai_dino.ssl import SelfDistillation
from monai_dino.transforms import (
    BatchedViews,
    RandBrightnessContrast,
    RandEachViewd,
    RandViewSeed,
    ScaleIntensityByModalityd,
    medical_views,
)

ROOT = Path(__file__).resolve().parent
COMMON = {"model_type": "dinov2", "num_attention_heads": 3, "patch_size": 12, "image_size": 96, "mlp_ratio": 4}
NETWORKS = {
    "4x96": COMMON | {"hidden_size": 96, "num_hidden_layers": 4},
    "6x192": COMMON | {"hidden_size": 192, "num_hidden_layers": 6},
    "dinov3 4x96": {
        **{"model_type": "dinov3_vit", "num_attention_heads": 3, "patch_size": 12, "image_size": 96},
        **{"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 4, "num_register_tokens": 4},
    },
}
SHARES = (0.45, 0.35, 0.2)
SOFTMAX = {
    **{"preset": "dino", "learning_rate": 5e-4, "drop_path": 0.0},
    **{"head_hidden_dim": 512, "head_bottleneck_dim": 128},
}
METHODS: dict[str, dict[str, Any]] = {
    "small": {"settings": {"preset": "small"}},
    "softmax": {"settings": SOFTMAX | {"prototypes": 512}},
    "softmax2048": {"settings": SOFTMAX | {"prototypes": 2048}},
    "lora": {"settings": {"preset": "small"}, "adaptation": {"mode": "lora", "rank": 8}},
    "lora6": {"settings": {"preset": "small"}, "adaptation": {"mode": "lora", "rank": 8, "freeze_blocks": 6}},
    "frozen6": {"settings": {"preset": "small"}, "adaptation": {"mode": "full", "freeze_blocks": 6}},
    "full": {"settings": {"preset": "small"}, "adaptation": {"mode": "full"}},
}
FROM_WEIGHTS = ("lora", "lora6", "frozen6", "full")
MODALITIES = ("us", "mr", "mr")


class ViewsByModality:
    """Views of each slice as its modality wants them, for a batch of several modalities.

    Args:
        makers: makes the views of a modality.
    """

    def __init__(self, makers: dict[str, BatchedViews]) -> None:
        self.makers = makers

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Makes the views of items that name their modality."""
        own = {name: [item for item in items if item["modality"] == name] for name in self.makers}
        parts = [self.makers[name](found) for name, found in own.items() if found]
        keys = [key for key in ("image_global", "image_local", "patch_mask") if key in parts[0]]
        return {key: torch.cat([part[key] for part in parts]) for key in keys}


def joined_slices(data: Path, stores: Path, samples: int, seed: int, shares: Sequence[float] = SHARES) -> JoinedSlices:
    """Ultrasound, hippocampi and brains, each with its share of the samples."""
    us = SliceStore([{"image": str(p)} for p in ultrasound_files(data)], stores / "us", modality="us")
    brain = SliceStore([{"image": str(p)} for p in brain_files(data)], stores / "brain", modality="mr")
    hippo = SliceStore(hippocampus_cases(data), stores / "hippo", "sagittal", out_channels=3, modality="mr")
    parts = []
    for store, modality, share in zip((us, hippo, brain), MODALITIES, shares, strict=True):
        named = partial(dict.__or__, {"modality": modality})
        transform = Compose([ScaleIntensityByModalityd("image", modality), named, RandViewSeed()])
        parts.append(SliceDataset(store, transform, samples=round(share * samples), seed=seed))
    return JoinedSlices(parts)


def trainer_of(method: str, folder: Path, options: argparse.Namespace, seed: int) -> DinoTrainer:
    """A training of a method."""
    torch.manual_seed(seed)
    weights = options.weights if method in FROM_WEIGHTS else None
    encoder = DinoEncoder(None if weights else NETWORKS[options.network], weights=weights)
    adapt(encoder, **METHODS[method].get("adaptation", {"mode": "full"}))
    settings = {"batch_size": options.batch_size, "pretrained": weights is not None, **METHODS[method]["settings"]}
    network = SelfDistillation(encoder, **(settings | json.loads(options.set)))
    patch = encoder.patch_size
    size = {"global_size": 96 // patch * patch, "local_size": 48 // patch * patch, "local_count": 4}
    masks = patch if network.settings.ibot_weight else None
    views = {
        name: medical_views(name if options.views == "own" else "xray", "dino-mx", patch_size=masks, **size)
        for name in dict.fromkeys(MODALITIES)
    }
    for step in (step for steps in views.values() for step in steps.transforms):
        for transform in step.transform.transforms if isinstance(step, RandEachViewd) else ():
            if isinstance(transform, RandBrightnessContrast):
                transform.prob = options.brightness
    slices = joined_slices(options.data, folder.parent, options.batch_size * 30, seed, options.shares)
    sampler = StepSampler(len(slices), options.batch_size, seed=seed)
    make_views = ViewsByModality({name: BatchedViews(steps, options.device) for name, steps in views.items()})
    loader: DataLoader[Any] = DataLoader(slices, batch_sampler=sampler, collate_fn=make_views)
    epochs = max(1, round(options.steps / len(loader)))
    handlers = [InstrumentsHandler(folder, interval=5), CollapseMonitor(folder)]
    network.to(options.device)
    trainer = DinoTrainer(
        options.device, epochs, loader, network, options.precision, seed=seed, train_handlers=handlers
    )
    if options.stop:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=options.stop), trainer.terminate)
    return trainer


def measure(method: str, seed: int, folder: Path, options: argparse.Namespace, readouts: list[Any]) -> dict[str, Any]:
    """Trains, and reads out before and after."""
    trainer = trainer_of(method, folder, options, seed)
    encoder = trainer.network.average.encoder
    before = [value for readout in readouts for value in readout(encoder)]
    start = time.perf_counter()
    trainer.run()
    seconds = time.perf_counter() - start
    after = [value for readout in readouts for value in readout(encoder)]
    verdict = trainer.state.instruments
    findings = json.loads((folder / "verdict.json").read_text()) if (folder / "verdict.json").exists() else {}
    return {
        **{"method": method, "network": "weights" if method in FROM_WEIGHTS else options.network, "seed": seed},
        "changes": json.loads(options.set) | {"brightness": options.brightness, "views": options.views},
        **{"before": before, "after": after},
        "steps": trainer.state.iteration,
        **{"minutes": seconds / 60, "step_s": seconds / trainer.state.iteration},
        **{"memory_mb": _peak_memory(options.device), "verdict": findings, "device": options.device},
        **{"effective_rank": verdict.get("effective_rank"), "loss": verdict["loss"]},
    }


def _peak_memory(device: str) -> float:
    """MiB that the training took at most: on a GPU its tensors, else this process."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(rows: list[dict[str, Any]], names: list[str]) -> str:
    """The results as Markdown."""
    lines = ["| method | network | seeds | minutes | s a step | " + " | ".join(names) + " |"]
    lines.append("|---" * (5 + len(names)) + "|")
    kinds = [(row["method"], row["network"], str(row.get("changes") or "")) for row in rows]
    for method, network, changes in dict.fromkeys(kinds):
        own = [row for row, kind in zip(rows, kinds, strict=True) if kind == (method, network, changes)]
        before, after = (np.array([row[key] for row in own]) for key in ("before", "after"))
        cells = [
            f"{b.mean():.3f} → {a.mean():.3f} ({(a - b).min():+.3f} to {(a - b).max():+.3f})"
            for b, a in zip(before.T, after.T, strict=True)
        ]
        minutes, step = (np.mean([row[key] for row in own]) for key in ("minutes", "step_s"))
        lines.append(
            f"| {method} {changes} | {network} | {len(own)} | {minutes:.1f} | {step:.2f} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights", type=Path, help="Hugging Face folder of the encoder")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["small", "softmax"])
    parser.add_argument("--network", choices=NETWORKS, default="4x96", help="blocks and width, from random weights")
    parser.add_argument("--shares", type=float, nargs=3, default=SHARES, help="of ultrasound, hippocampi, brains")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--stop", type=int, help="step after which a training is broken off")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="cpu", help="where views are made, and networks trained and read out")
    parser.add_argument("--views", choices=("own", "xray"), default="own", help="of each modality, or X-ray's for all")
    parser.add_argument("--brightness", type=float, default=0.8, help="probability that it changes in a view")
    parser.add_argument("--set", default="{}", help="changes of the settings, as JSON")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "pretraining.json", help="gains rows")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
    with tempfile.TemporaryDirectory() as temporary:
        readouts = [kind(options.data, Path(temporary), 96) for kind in (UltrasoundClass, MrSequence, HippocampusDice)]
        names = [name for readout in readouts for name in readout.names]
        for method in options.methods:
            for seed in options.seeds:
                folder = Path(temporary) / f"{method}-{seed}"
                rows.append(measure(method, seed, folder, options, readouts))
                print(json.dumps(rows[-1]), flush=True)
                options.output.write_text(json.dumps({"names": names, "rows": rows}, indent=1))
    print(table(rows, names) + f"\nwrote {options.output}")


if __name__ == "__main__":
    main()
