# SPDX-License-Identifier: Apache-2.0
"""Measures how well the attention of encoders finds lesions, with intervals, and writes one table per data set.

An encoder is a folder; several folders of one name are its seeds, whose metrics are averaged case by case. `random`
stands for a network of random weights in the shape of the first folder.

python benchmarks/attention_detection.py --data DATA --weights DINOv2=WEIGHTS random=random guided=F1,F2,F3
"""

from __future__ import annotations

import argparse
import glob
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose
from tqdm import tqdm

from monai_dino.data import LoadCased
from monai_dino.evaluation import Estimate, detection_rows, summarise_detection
from monai_dino.inferers import PatchMapInferer
from monai_dino.networks import DinoEncoder, cls_attention
from monai_dino.networks.nets.build import check_image_size
from monai_dino.transforms import OrientToPlaned, ScaleIntensityByModalityd
from monai_dino.visualize import heat_of, maps_on_image

ROOT = Path(__file__).resolve().parent
DATASETS = {"breast_us": "us", "brain_tumour_mr": "mr"}
HEATS = ("mean", "pca")
LOCALISATION = {
    "pointing": "pointing game",
    "inside": "inside the label",
    "chance": "chance",
    "gain": "inside / chance",
}
DETECTION = ("precision", "recall", "f1", "pixel_precision", "pixel_recall", "pixel_f1")

Rows = list[dict[str, Any]]


def items_of(data: Path, name: str) -> list[dict[str, Any]]:
    """Images with their masks; the patient of an ultrasound image is not known, so that it is its own."""
    folder = data / name
    if name == "breast_us":
        masks = {p: sorted((folder / "masks").glob(f"{glob.escape(p.stem)}_mask*")) for p in _files(folder / "images")}
        return [{"image": str(p), "label": [*map(str, m)], "patient": p.stem} for p, m in masks.items() if m]
    images = [p for p in _files(folder) if not p.name.endswith("_mask.nii.gz")]
    label = {p: re.sub(r"_[^_]+\.nii\.gz$", "_mask.nii.gz", str(p)) for p in images}
    return [{"image": str(p), "label": label[p], "patient": p.name.split("_")[0]} for p in images]


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def prepared(items: Sequence[Mapping[str, Any]], modality: Any, most: int | None) -> Rows:
    """Evenly chosen cases, of which the slices with a label are kept, as many as `most` evenly spread."""
    steps = Compose(
        [LoadCased(), OrientToPlaned(["image", "label"], "axial"), ScaleIntensityByModalityd("image", modality)]
    )
    chosen = items if most is None else [items[int(k)] for k in np.linspace(0, len(items) - 1, min(most, len(items)))]
    cases = []
    for item in chosen:
        case = steps(item)
        labelled = case["label"].as_tensor()[0].gt(0).flatten(0, 1).any(dim=0).nonzero().flatten()
        kept = {k: case[k][..., labelled] for k in ("image", "label")}
        cases.append(dict(item) | kept | {"case": Path(item["image"]).name})
    return cases


def measure(encoder: DinoEncoder, cases: Rows, image_size: int, iou: float) -> dict[str, Rows]:
    """Rows of each way to make one map of the heads."""
    check_image_size(image_size, encoder.patch_size)
    inferer = PatchMapInferer(8, resize=image_size, precision="fp32")
    rows: dict[str, Rows] = {heat: [] for heat in HEATS}
    for case in tqdm(cases, leave=False):
        maps = inferer(case["image"][None], lambda x: cls_attention(encoder, x)[0])[0]
        truth = case["label"].as_tensor()[0].numpy()
        for heat in HEATS:
            placed = maps_on_image(heat_of(maps, heat), case["image"], mode="nearest-exact")
            found = detection_rows(placed.as_tensor()[0].numpy(), truth, iou=iou)
            rows[heat] += [{"case": case["case"], "patient": case["patient"]} | row for row in found]
    return rows


def over_seeds(runs: Sequence[Rows]) -> Rows:
    """The mean over seeds of every metric of a case; over those seeds in which it is defined."""
    joined = []
    for rows in zip(*runs, strict=True):
        merged = dict(rows[0])
        for name in merged.keys() - {"case", "patient", "threshold"}:
            defined = [row[name] for row in rows if not np.isnan(row[name])]
            merged[name] = float(np.mean(defined)) if defined else float("nan")
        joined.append(merged)
    return joined


def encoders_of(folders: str, first: str) -> list[partial[DinoEncoder]]:
    """What makes each encoder of a name."""
    if folders == "random":
        return [partial(_random, first)]
    return [partial(DinoEncoder, weights=folder) for folder in folders.split(",")]


def _random(first: str) -> DinoEncoder:
    torch.manual_seed(0)
    return DinoEncoder(DinoEncoder(weights=first).architecture)


def cell(estimate: Estimate, spread: Sequence[float]) -> str:
    """A mean, its interval over patients, and where there are several seeds the standard deviation over them."""
    low, high = ("?" if np.isnan(v) else f"{v:.3f}" for v in (estimate.low, estimate.high))
    seeds = f", sd {np.std(spread, ddof=1):.3f}" if len(spread) > 1 else ""
    return "undefined" if np.isnan(estimate.value) else f"{estimate.value:.3f} ({low} to {high}{seeds})"


def tables(results: Mapping[tuple[str, str], Sequence[Rows]]) -> list[str]:
    """Markdown of one data set: a table without a threshold, and one for each."""
    summaries = {key: summarise_detection(over_seeds(runs)) for key, runs in results.items()}
    single = {key: [summarise_detection(rows) for rows in runs] for key, runs in results.items()}
    lines: list[str] = []
    for group in next(iter(summaries.values())):
        metrics = LOCALISATION if group == "attention" else {name: name.replace("_", " ") for name in DETECTION}
        title = "Without a threshold" if group == "attention" else f"At a threshold of {group}"
        lines += ["", f"{title}:", "", "| encoder | map | " + " | ".join(metrics.values()) + " |"]
        lines.append("|---" * (len(metrics) + 2) + "|")
        for (name, heat), summary in summaries.items():
            cells = [cell(summary[group][m], [s[group][m].value for s in single[name, heat]]) for m in metrics]
            lines.append(f"| {name} | {heat} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Measures and writes results/attention_detection.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", required=True, metavar="NAME=FOLDER[,FOLDER...]")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=list(DATASETS))
    parser.add_argument("--cases", type=int, help="cases of each data set, evenly chosen; all by default")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--iou", type=float, default=0.5)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "attention_detection.md")
    options = parser.parse_args()
    named = dict(entry.split("=", 1) for entry in options.weights)
    first = next(folder.split(",")[0] for folder in named.values() if folder != "random")
    lines = [
        "# Where attention looks",
        "",
        f"    python benchmarks/attention_detection.py --data DATA --weights {' '.join(_anonymous(named))} "
        f"--image-size {options.image_size}" + (f" --cases {options.cases}" if options.cases else ""),
        "",
        f"Attention of the class token in the last block, on slices with a label at {options.image_size} pixels; `map`",
        "is the mean of the heads or their first principal component. Means over cases with 95 % bootstrap intervals",
        "over patients; a case in which the denominator of a metric is 0 is left out of its mean. Regions match where",
        f"their boxes overlap with an intersection over union of at least {options.iou:g}; the docstrings of",
        "`monai_dino.evaluation.attention_detection` have the definitions. With several seeds a metric is averaged",
        "over them case by case, and `sd` is that of their means. `random` has random weights. An interval over two",
        "patients says little. The share inside the label is not to be compared between maps: `pca` is scaled from its",
        "least to its greatest value in a slice, `mean` is not, which alone changes a share of the sum.",
    ]
    for name in options.datasets:
        cases = prepared(items_of(options.data, name), DATASETS[name], options.cases)
        results: dict[tuple[str, str], list[Rows]] = {}
        for encoder, folders in named.items():
            for make in encoders_of(folders, first):
                for heat, rows in measure(make().eval(), cases, options.image_size, options.iou).items():
                    results.setdefault((encoder, heat), []).append(rows)
        slices = sum(case["label"].shape[-1] for case in cases)
        patients = len({case["patient"] for case in cases})
        lines += ["", f"## {name}", "", f"{len(cases)} cases of {patients} patients, {slices} slices."]
        lines += tables(results)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")
    print("\n".join(lines) + f"\nwrote {options.output}")


def _anonymous(named: Mapping[str, str]) -> list[str]:
    """The encoders without the paths of this machine."""
    plain = {n: f if f == "random" else ",".join("FOLDER" for _ in f.split(",")) for n, f in named.items()}
    return [f"{name}={folders}" for name, folders in plain.items()]


if __name__ == "__main__":
    main()
