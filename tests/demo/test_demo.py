# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest
from bundle_runs import command, load_labels, read_table
from skimage.io import imread

DEMO = Path(__file__).resolve().parents[2] / "demo"

pytest.importorskip("nilearn", reason="the demo needs nilearn (extra `demo`)")


@pytest.fixture
def demo_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The demo's modules can be imported, as when its script is run."""
    monkeypatch.syspath_prepend(str(DEMO))
    yield
    for name in ("make_data", "page"):
        sys.modules.pop(name, None)


def module(name: str) -> ModuleType:
    return import_module(name)


@pytest.mark.usefixtures("demo_path")
@pytest.mark.parametrize("depth", [4, 9, 10, 47])
def test_slabs_share_nothing_and_do_not_touch(depth: int) -> None:
    slabs = module("make_data").slabs(depth, thickness=4, gap=2)
    taken = [index for slab in slabs for index in range(depth)[slab]]
    assert all(len(range(depth)[slab]) == 4 for slab in slabs)
    assert len(taken) == len(set(taken))
    edges = [(slab.start, slab.stop) for slab in slabs]
    assert all(after[0] - before[1] == 2 for before, after in itertools.pairwise(edges))
    assert depth - edges[-1][1] < 6  # no room for another


@pytest.mark.usefixtures("demo_path")
def test_pictures_show_the_front_up_and_the_left_on_the_right(tmp_path: Path) -> None:
    array = np.zeros((5, 6, 3), np.float32)
    array[0, 5, 1] = 1  # with X to the right and Y to the front: left and in front
    codes_affine = np.diag([2.0, 2.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(array, codes_affine), tmp_path / "ras.nii.gz")
    nib.save(nib.Nifti1Image(array[::-1, ::-1], np.diag([-2.0, -2.0, 2.0, 1.0])), tmp_path / "lps.nii.gz")
    for name in ("ras", "lps"):
        upright = module("page")._upright(tmp_path / f"{name}.nii.gz")
        assert upright.shape == (6, 5, 3)
        assert np.argwhere(upright).tolist() == [[0, 4, 1]]


def test_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    done = command(str(DEMO / "run.py"), "--output", "mine", cwd=tmp_path)
    assert done.returncode != 0
    assert "is there already" in done.stderr.splitlines()[-1]
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_short_demo(tmp_path: Path) -> None:
    """Six commands that each import for seconds; with so little training the numbers mean nothing."""
    arguments = ["--output", "out", "--minutes", "0.05", "--resolution", "4"]
    done = command(str(DEMO / "run.py"), *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    out = tmp_path / "out"
    tissue = json.loads((out / "data" / "tissue" / "datalist.json").read_text())
    assert tissue["labels"] == {"0": "background", "1": "grey", "2": "white"}
    trained_on = {item["image"] for item in tissue["training"]}
    tested = [item["image"] for item in tissue["testing"]]
    assert tested
    assert not trained_on & set(tested)

    # Each picture shows image, truth and prediction; the truth is in colours.
    page = (out / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert shown == [f"figures/{Path(image).name.removesuffix('.nii.gz')}.png" for image in tested]
    for picture in shown:
        pixels = imread(out / picture).astype(int)
        rows = np.array_split(pixels, 3)
        in_colour = [np.ptp(row, axis=-1).max() > 30 for row in rows]
        assert in_colour[:2] == [False, True]
        assert all(row.max() > 150 for row in rows)

    # Predictions lie on their inputs, and every metric and command is on the page.
    for item in tissue["training"] + tissue["testing"]:
        source = nib.load(out / "data" / "tissue" / item["image"])
        path = out / "results" / "tissue" / f"{Path(item['image']).name.removesuffix('.nii.gz')}_seg.nii.gz"
        assert load_labels(path).shape == source.shape
        np.testing.assert_allclose(nib.load(path).affine, source.affine)
    planes = read_table(out / "results" / "planes" / "predictions.csv")
    assert {row["prediction"] for row in planes} <= {"axial", "coronal", "sagittal"}
    assert len(planes) == len(list((out / "data" / "planes").glob("*/*.nii.gz")))
    for bundle, kind, page_name in (("segmentation", "mean", "dice"), ("classification", "all", "auroc")):
        summary = json.loads((out / f"dino_{bundle}" / "eval" / f"{bundle}.json").read_text())["summary"]
        value = summary[kind][page_name]["value"]
        text = "undefined" if value is None else f"{value:.3f}"
        assert f"| {kind} | {page_name} | {text} |" in page
    commands = [line[2:] for line in done.stdout.splitlines() if line.startswith("$ python -m")]
    assert len(commands) == 10
    assert "```\n" + "\n".join(commands) + "\n```" in page
    assert str(out / "README.md") in done.stdout.splitlines()[-1]
