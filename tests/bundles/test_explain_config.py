# SPDX-License-Identifier: Apache-2.0
"""The configurations that show where an encoder looks."""

from __future__ import annotations

import json
from pathlib import Path
from pydoc import locate
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle_runs import copy_bundle, messages_of, read_summary, read_table, run_bundle
from bundle_texts import read_config, targets_in
from common import TINY
from PIL import Image
from synthetic import write_balls

from monai_dino.data import read_volume
from monai_dino.evaluation import detection_report, detection_rows
from monai_dino.files import write_json
from monai_dino.networks import DinoClassifier, DinoEncoder
from monai_dino.transforms import ScaleIntensityByModality
from monai_dino.visualize import volume_attention


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = detection_report.bootstrap
    monkeypatch.setattr(detection_report, "bootstrap", lambda *a, **k: draw(*a, **k | {"resamples": 20}))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("data") / "balls")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    DinoEncoder(TINY["dinov2_with_registers"]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_bundle("dino_pretrain", tmp_path_factory.mktemp("bundles") / "encoder")


def run(bundle: Path, **settings: Any) -> Path:
    shared = {"image_size": 56, "modality": "mr", "precision": "fp32"}
    run_bundle(bundle, "explain", **shared | settings)
    return settings["output_dir"]


def test_of_labelled_volumes(bundle: Path, data: Path, weights: Path, tmp_path: Path) -> None:
    run(bundle, output_dir=tmp_path, dataset_dir=data, datalist="datalist.json", weights=weights)
    names = {p.name for p in tmp_path.iterdir()}
    kinds = ("explained.png", "attention.nii.gz", "features.nii.gz")
    assert names == {f"case{k}_{kind}" for k in (4, 5) for kind in kinds} | {"detection.csv", "detection.json"}
    encoder = DinoEncoder(weights=weights)
    source = read_volume(data / "images" / "case4.nii.gz")
    wanted = volume_attention(encoder, ScaleIntensityByModality("mr")(source), image_size=56, precision="fp32")
    found = nib.load(tmp_path / "case4_attention.nii.gz")
    np.testing.assert_allclose(found.affine, source.affine)
    np.testing.assert_allclose(found.get_fdata(), wanted.mean(dim=0).as_tensor(), atol=1e-6)
    colours = nib.load(tmp_path / "case4_features.nii.gz")
    assert (colours.shape, colours.get_data_dtype()) == ((24, 30, 6, 3), np.uint8)
    np.testing.assert_allclose(colours.affine, source.affine)
    assert np.asarray(colours.dataobj).max() > 200
    rows = read_table(tmp_path / "detection.csv")
    assert [(row["case"], row["threshold"]) for row in rows] == [
        (f"case{k}", t) for k in (4, 5) for t in ("0.3", "0.7")
    ]
    report = json.loads((tmp_path / "detection.json").read_text())
    assert (report["split"], report["heat"], report["iou"]) == ("testing", "mean", 0.5)
    assert report["totals"]["0.3"]["fn"] == sum(int(row["fn"]) for row in rows if row["threshold"] == "0.3")
    inside = [float(row["inside"]) for row in rows if row["threshold"] == "0.3"]
    assert read_summary(tmp_path / "detection.json")["attention"]["inside"]["value"] == pytest.approx(np.mean(inside))


def test_a_mask_of_another_grid_is_named(bundle: Path, data: Path, weights: Path, tmp_path: Path) -> None:
    item = json.loads((data / "datalist.json").read_text())["training"][0]
    image = nib.load(data / item["image"])
    deeper = np.ones((*image.shape[:2], image.shape[2] + 3), np.uint8)
    nib.save(nib.Nifti1Image(deeper, image.affine), tmp_path / "deeper.nii.gz")
    named = {"image": str(data / item["image"]), "label": str(tmp_path / "deeper.nii.gz")}
    write_json(
        tmp_path / "one.json", {"labels": {"0": "background", "1": "ball"}, "modality": "MR", "testing": [named]}
    )
    with pytest.raises(RuntimeError) as error:
        run(bundle, output_dir=tmp_path / "out", dataset_dir=data, datalist=str(tmp_path / "one.json"), weights=weights)
    assert "deeper.nii.gz: its shape" in messages_of(error.value)
    assert not list((tmp_path / "out").glob("*_explained.png"))


def test_settings_of_the_detection(bundle: Path, data: Path, weights: Path, tmp_path: Path) -> None:
    shared = {"dataset_dir": data, "datalist": "datalist.json", "weights": weights, "split": "validation", "fold": 1}
    run(bundle, output_dir=tmp_path, heat="pca", thresholds=[0.6], rule="mass", iou=0.1, block=1, **shared)
    rows = read_table(tmp_path / "detection.csv")
    assert [(row["case"], row["threshold"]) for row in rows] == [("case1", "0.6"), ("case3", "0.6")]
    assert all(int(row["slices"]) > 0 for row in rows)


def test_of_a_folder_of_pictures(bundle: Path, weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, shape in (("wide", (40, 61)), ("high", (55, 30))):
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(tmp_path / "in" / f"{name}.png")
    out = run(bundle, dataset_dir=tmp_path / "in", weights=weights, output_dir=tmp_path / "out", modality="us")
    kinds = ("explained.png", "attention.nii.gz", "features.nii.gz")
    assert {p.name for p in out.iterdir()} == {f"{name}_{kind}" for name in ("wide", "high") for kind in kinds}
    assert nib.load(out / "wide_attention.nii.gz").shape == read_volume(tmp_path / "in" / "wide.png").shape[1:]


def test_of_a_trained_classifier(data: Path, tmp_path: Path) -> None:
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    torch.manual_seed(0)
    network = DinoClassifier(TINY["dinov3_vit"], image_size=64, adaptation={"mode": "lora", "rank": 2})
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    settings = {"encoder": TINY["dinov3_vit"], "image_size": 64, "adaptation": {"mode": "lora", "rank": 2}}
    write_json(bundle / "models" / "settings.json", settings)
    run_bundle(bundle, "explain", dataset_dir=data / "images", precision="fp32")
    out = bundle / "explained"
    assert len(list(out.glob("*_explained.png"))) == len(list(out.glob("*_attention.nii.gz"))) == 6
    source = ScaleIntensityByModality("mr")(read_volume(data / "images" / "case0.nii.gz"))
    wanted = volume_attention(network.encoder, source, image_size=64, precision="fp32").mean(dim=0)
    np.testing.assert_allclose(nib.load(out / "case0_attention.nii.gz").get_fdata(), wanted.as_tensor(), atol=1e-6)


def test_detection_is_that_of_the_functions(bundle: Path, data: Path, tmp_path: Path) -> None:
    """On a grid of patches of one pixel nothing is interpolated, so that the written map gives the same numbers."""
    tiny = TINY["vit"] | {"patch_size": 1, "image_size": 8}
    torch.manual_seed(0)
    DinoEncoder(tiny).save_pretrained(tmp_path / "weights")
    out = run(
        bundle, dataset_dir=data, datalist="datalist.json", weights=tmp_path / "weights", output_dir=tmp_path / "out",
        image_size=None,
    )  # fmt: skip
    heat = nib.load(out / "case4_attention.nii.gz").get_fdata()
    label = np.asarray(nib.load(data / "labels" / "case4.nii.gz").dataobj)
    wanted = detection_rows(heat, label)
    for row, other in zip(read_table(out / "detection.csv")[:2], wanted, strict=True):
        for name in ("tp", "fp", "fn", "pixel_f1", "pointing", "inside", "chance"):
            assert float(row[name]) == pytest.approx(float(other[name]), abs=1e-5), name


@pytest.mark.parametrize("name", ["dino_pretrain", "dino_classification"])
def test_targets_are_full_paths(name: str) -> None:
    for target in targets_in(read_config(name, "explain")):
        assert target.split(".")[0] in ("monai", "monai_dino"), target
        assert callable(locate(target)), target
