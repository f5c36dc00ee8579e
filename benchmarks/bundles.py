# SPDX-License-Identifier: Apache-2.0
"""Trains and tests networks on public data with the bundles, each with the same budget, and writes one table.

Every row is three commands that a user could type: a datalist with a test set, a training of so many minutes, and the
evaluation of the network that was best on the validation fold, on the test set. The peers of MONAI are trained by
``peer3d.py`` on the same split with the same budget and evaluated with the same metrics.

    python benchmarks/bundles.py hippocampus_mr --data DATA --weights WEIGHTS --minutes 8
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
LORA = "{'mode': 'lora', 'rank': 8}"

SEGMENTATION: dict[str, dict[str, Any]] = {
    "frozen, linear": {"adaptation": "frozen", "decoder": "linear", "learning_rate": 0.01},
    "frozen, U-Net": {"adaptation": "frozen", "decoder": "unet"},
    "LoRA r=8, U-Net": {"adaptation": LORA, "decoder": "unet", "encoder_learning_rate": 0.001},
    "frozen, guided": {"adaptation": "frozen", "decoder": "guided"},
}
CLASSIFICATION: dict[str, dict[str, Any]] = {
    "frozen, linear": {"adaptation": "frozen"},
    "LoRA r=8, linear": {"adaptation": LORA, "encoder_learning_rate": 0.001},
    "full, linear": {"adaptation": "full"},
}
DATASETS: dict[str, dict[str, Any]] = {
    "hippocampus_mr": {
        "bundle": "dino_segmentation",
        "datalist": ["--images", "images", "--masks", "labels", "--label-names", "background", "anterior", "posterior"],
        "settings": {
            "modality": "mr", "plane": "sagittal", "image_size": 112, "slice_size": "[48,64]",
            "samples_per_epoch": 1024, "val_interval": 3,
        },
        "methods": SEGMENTATION,
        "peers": ["unet3d", "segresnet"],
        "test_share": 0.2,
    },
    "breast_us": {
        "bundle": "dino_segmentation",
        "datalist": ["--images", "images", "--masks", "masks", "--label-names", "background", "lesion"],
        "settings": {
            "modality": "us", "image_size": 224, "samples_per_epoch": 240, "labelled_share": 1.0, "flip_prob": 0.5,
            "val_interval": 2,
        },
        "methods": SEGMENTATION,
        "test_share": 0.25,
    },
    "breast_us_classes": {
        "bundle": "dino_classification",
        "datalist": ["--classes", "folder"],
        "settings": {
            "modality": "us", "image_size": 224, "num_slices": 1, "batch_size": 16, "flip_prob": 0.5,
        },
        "methods": CLASSIFICATION,
        "test_share": 0.2,
    },
}  # fmt: skip


def run(*arguments: str, cwd: Path) -> None:
    """Runs ``python -m ...`` and prints the command."""
    print("\n$ python -m " + " ".join(f"'{a}'" if " " in a else a for a in arguments), flush=True)
    subprocess.run([sys.executable, "-W", "ignore", "-m", *arguments], check=True, cwd=cwd)


def bundle(name: str, config: str, folder: Path, **settings: object) -> None:
    """Runs a configuration of a bundle whose copy is in ``folder``."""
    options = [x for key, value in settings.items() for x in (f"--{key}", str(value))]
    meta = str(folder / "configs" / "metadata.json")
    configs = str(folder / "configs" / f"{config}.json")
    run(
        "monai.bundle", "run", "--config_file", configs, "--meta_file", meta, "--bundle_root", str(folder), *options,
        cwd=folder.parent,
    )  # fmt: skip


def measure(name: str, method: str, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Trains and tests one method."""
    dataset = DATASETS[name]
    folder = work / method.replace(" ", "_").replace(",", "").replace("=", "")
    if method in dataset.get("peers", ()):
        script = str(ROOT / "benchmarks" / "peer3d.py")
        arguments = [method, str(options.data / name), str(work / "datalist.json"), str(options.minutes), str(folder)]
        print(f"\n$ python benchmarks/peer3d.py {' '.join(arguments)}", flush=True)
        subprocess.run([sys.executable, "-W", "ignore", script, *arguments], check=True)
    else:
        run("monai_dino", "bundles", dataset["bundle"], str(folder), cwd=work)
        data = {"dataset_dir": options.data / name}
        settings = data | {"datalist": work / "datalist.json", "weights": options.weights} | dataset["settings"]
        settings |= {"epochs": 10000, "max_minutes": options.minutes, "seed": options.seed}
        bundle(dataset["bundle"], "train", folder, **settings | dataset["methods"][method])
        bundle(dataset["bundle"], "evaluate", folder, **data)
    kind = dataset["bundle"].removeprefix("dino_")
    summary = json.loads((folder / "eval" / f"{kind}.json").read_text())["summary"]
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    return {"method": method, "summary": summary, "parameters": sum(v.numel() for v in state.values())}


def cell(estimate: dict[str, Any] | None, cases: int) -> str:
    """A value and its interval, and of how many cases it is where not of all."""
    if estimate is None or estimate["value"] is None:
        return ""
    low, high = (f"{estimate[k]:.3f}" if estimate[k] is not None else "?" for k in ("low", "high"))
    of = "" if estimate["n"] == cases else f", n = {estimate['n']}"
    return f"{estimate['value']:.3f} ({low} to {high}){of}"


def table(name: str, rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """The results as Markdown."""
    command = f"python benchmarks/bundles.py {name} --data DATA --weights WEIGHTS --minutes {options.minutes:g}"
    groups = list(dict.fromkeys(g for row in rows for g in row["summary"]))
    metrics = list(dict.fromkeys(m for row in rows for m in row["summary"][groups[0]]))
    cases = rows[0]["summary"][groups[0]][metrics[0]]["n"]
    hd95 = "HD95 is of the cases in which the class was found. " if "hd95" in metrics else ""
    lines = [
        f"# {name}: {options.minutes:g} minutes of training on {torch.get_num_threads()} threads",
        "",
        f"`{command} --seed {options.seed}`",
        "",
        f"{cases} test cases, which neither training nor the selection of the network has seen; 95 % intervals by "
        f"bootstrap over cases. {hd95}The minutes include "
        f"validation. {platform.machine()}, torch {torch.__version__}.",
        "",
    ]
    for metric in metrics:
        lines += [f"## {metric}", "", "| method | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
        for row in rows:
            cells = [row["summary"][g].get(metric) for g in groups]
            lines.append(f"| {row['method']} | " + " | ".join(cell(c, cases) for c in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Reads the command line, measures, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights", type=Path, required=True, help="Hugging Face folder of the encoder")
    parser.add_argument("--minutes", type=float, default=8.0, help="budget of each training")
    parser.add_argument("--methods", nargs="+", help="some of the methods (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    options.data, options.weights = options.data.resolve(), options.weights.resolve()
    dataset = DATASETS[options.dataset]
    methods = options.methods or [*dataset["methods"], *dataset.get("peers", ())]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        output = str(work / "datalist.json")
        share = ("--test-share", str(dataset["test_share"]))
        folder = str(options.data / options.dataset)
        run("monai_dino", "datalist", folder, *dataset["datalist"], *share, "--output", output, cwd=work)
        path = options.output / f"{options.dataset}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, Any]] = []
        for method in methods:  # hours of work: what is measured is written at once
            rows.append(measure(options.dataset, method, work, options))
            path.write_text(table(options.dataset, rows, options))
            path.with_suffix(".json").write_text(json.dumps(rows, indent=1))
    print(path.read_text() + f"\nwrote {path}")


if __name__ == "__main__":
    main()
