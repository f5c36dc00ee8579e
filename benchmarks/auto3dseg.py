# SPDX-License-Identifier: Apache-2.0
"""MONAI's AutoRunner with our algorithms on hippocampus_mr, from the analysis to the ensemble, and after a move.

Everything happens offline in a folder whose name has a space. With ``--extra-templates`` the algorithms of a folder,
such as MONAI's own ``algorithm_templates``, take part.

    python benchmarks/auto3dseg.py --data DATA --weights WEIGHTS
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.apps.auto3dseg import AutoRunner, import_bundle_algo_history

from monai_dino.auto3dseg import template_names, templates_path
from monai_dino.evaluation import bootstrap, segmentation_metrics

ROOT = Path(__file__).resolve().parent.parent
FOLDS = 2
SAMPLES = 256  # slices of an epoch


def write_datalist(data: Path, cases: int, tests: int, path: Path) -> None:
    names = sorted(p.name for p in (data / "images").glob("*.nii.gz"))[: cases + tests]
    items = [{"image": f"images/{n}", "label": f"labels/{n}", "fold": k % FOLDS} for k, n in enumerate(names)]
    testing = [{"image": item["image"]} for item in items[cases:]]
    labels = {"0": "background", "1": "anterior", "2": "posterior"}
    path.write_text(json.dumps({"modality": "MRI", "labels": labels, "training": items[:cases], "testing": testing}))


def choose(names: list[str], extra: Path | None) -> dict[str, dict[str, str]]:
    """The algorithms as AutoRunner wants them."""
    algos = {}
    for name in names:
        ours = name in template_names()
        module = "monai_dino.auto3dseg" if ours else f"{name}.scripts.algo"
        algos[name] = {
            "_target_": f"{module}.{name.capitalize()}Algo",
            "template_path": templates_path() if ours else str(extra),
        }
    return algos


def run(work: Path, source: dict[str, Any], algos: dict[str, Any], epochs: int, **steps: bool) -> float:
    """Runs AutoRunner and returns the seconds that it took."""
    started = time.monotonic()
    runner = AutoRunner(str(work), dict(source), algos, **steps)
    runner.set_analyze_params({"device": "cpu", "worker": 0, "do_ccp": False})
    runner.set_device_info(cmd_prefix=sys.executable)
    # Steps, not minutes, so that what else the machine does changes nothing.
    runner.set_training_params({"num_epochs": epochs, "samples_per_epoch": SAMPLES, "num_workers": 0})
    runner.run()
    return time.monotonic() - started


def ensembled(work: Path, data: Path, datalist: Path) -> dict[str, np.ndarray]:
    """The ensemble's masks, which must lie on the grids of their images."""
    masks = {}
    for item in json.loads(datalist.read_text())["testing"]:
        name = Path(item["image"]).name
        image = nib.load(data / item["image"])
        found = nib.load(work / "ensemble_output" / "images" / name.replace(".nii.gz", "_ensemble.nii.gz"))
        assert found.shape == image.shape, name
        assert np.allclose(found.affine, image.affine), name
        masks[name] = np.asarray(found.dataobj)
    return masks


def table(work: Path, masks: dict[str, np.ndarray], data: Path) -> list[str]:
    lines = ["| algorithm and fold | Dice of its validation cases |", "|---|---|"]
    for item in import_bundle_algo_history(str(work)):
        lines.append(f"| {item['identifier']} | {item['best_metric']:.3f} |")
    dice = []
    for name, mask in masks.items():
        truth = nib.load(data / "labels" / name)
        tensors = (torch.from_numpy(np.asarray(a).astype(np.int64)) for a in (mask, truth.dataobj))
        found = segmentation_metrics(*tensors, 3, truth.header.get_zooms()[:3])
        dice.append([found[k]["dice"] for k in (1, 2)])
    values = np.array(dice)
    lines += ["", "| ensemble, test cases | Dice (95 % interval, n) |", "|---|---|"]
    for k, name in enumerate(("anterior", "posterior", "mean")):
        column = values.mean(axis=1) if name == "mean" else values[:, k]
        estimate = bootstrap(lambda chosen, column=column: float(column[chosen].mean()), len(column))
        lines.append(f"| {name} | {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}, {estimate.n}) |")
    return lines


def main() -> None:
    """Reads the command line, runs, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights", type=Path, required=True, help="Hugging Face folder of the encoder")
    parser.add_argument("--algos", nargs="+", default=["dinolinear", "dinounet"])
    parser.add_argument("--extra-templates", type=Path, help="folder of further algorithm templates")
    parser.add_argument("--cases", type=int, default=8, help="training cases, in two folds")
    parser.add_argument("--tests", type=int, default=4, help="test cases")
    parser.add_argument("--epochs", type=int, default=3, help=f"budget of each training: epochs of {SAMPLES} slices")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "auto3dseg.md")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    data = options.data.resolve() / "hippocampus_mr"
    algos = choose(options.algos, options.extra_templates)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "a folder"
        root.mkdir()
        datalist = root / "datalist.json"
        write_datalist(data, options.cases, options.tests, datalist)
        source = {"modality": "MRI", "datalist": str(datalist), "dataroot": str(data)}
        source["weights"] = str(options.weights.resolve())
        took = run(root / "work dir", source, algos, options.epochs)
        before = ensembled(root / "work dir", data, datalist)
        lines = table(root / "work dir", before, data)
        moved = root / "moved" / "work dir"
        shutil.move(root / "work dir", moved)
        shutil.rmtree(moved / "ensemble_output")
        again = run(moved, source, algos, options.epochs, analyze=False, algo_gen=False, train=False)
        after = ensembled(moved, data, datalist)
        same = all(np.array_equal(before[name], after[name]) for name in before)
    command = (
        f"python benchmarks/auto3dseg.py --data DATA --weights WEIGHTS --algos {' '.join(options.algos)} "
        f"--cases {options.cases} --tests {options.tests} --epochs {options.epochs}"
    )
    page = [
        f"# AutoRunner on hippocampus_mr: {options.epochs} epochs of {SAMPLES} slices for each training", "",
        f"`{command}`", "",
        f"{options.cases} training cases in {FOLDS} folds, {options.tests} test cases; {torch.get_num_threads()} "
        f"thread, {platform.machine()}, torch {torch.__version__}, offline, in a folder whose name has a space. "
        f"From the analysis to the ensemble: {took:.0f} s. The budget is far too small for a comparison: this shows "
        f"that the algorithms are at home in AutoRunner, no more.", "", *lines, "",
        f"Every prediction of the ensemble has the shape and the affine of its image. After the work directory was "
        f"moved, the ensemble alone ran again in {again:.0f} s; its masks were "
        f"{'the same, voxel by voxel' if same else 'NOT the same'}.", "",
    ]  # fmt: skip
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(page))
    print("\n".join(page) + f"\nwrote {options.output}")


if __name__ == "__main__":
    main()
