# SPDX-License-Identifier: Apache-2.0
"""Real volumes and pictures, where the environment variable MONAI_DINO_DATA names a folder of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle_runs import SEGMENTATION, copy_bundle, load_labels, read_summary, read_table, run_bundle
from common import TINY

from monai_dino.commands import main
from monai_dino.data import CheckLabeld, LoadCased, class_names, load_splits, read_volume
from monai_dino.handlers import save_settings
from monai_dino.networks import DinoSegmenter
from monai_dino.transforms import OrientToPlaned


def build(folder: Path, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Builds a datalist of a folder, outside it, with the command."""
    output = tmp_path / "datalist.json"
    assert main(["datalist", str(folder), "--output", str(output), *arguments]) == 0
    return json.loads(output.read_text())


def test_datalist_of_hippocampus(real_data: Path, tmp_path: Path) -> None:
    content = build(real_data / "hippocampus_mr", tmp_path, "--images", "images", "--masks", "labels")
    assert len(content["training"]) == 110
    assert set(content["labels"]) == {"0", "1", "2"}
    folds = Counter(item["fold"] for item in content["training"])
    assert folds == dict.fromkeys(range(5), 22)
    splits = load_splits(tmp_path / "datalist.json", real_data / "hippocampus_mr", fold=1)
    assert (len(splits["training"]), len(splits["validation"])) == (88, 22)
    item = LoadCased()(splits["validation"][0])
    assert item["image"].shape == item["label"].shape
    assert set(torch.unique(item["label"]).tolist()) == {0, 1, 2}


def test_datalist_of_breast_ultrasound(real_data: Path, tmp_path: Path) -> None:
    """Names with spaces and brackets, and masks as pictures of 0 and 255."""
    folder = real_data / "breast_us"
    content = build(folder, tmp_path, "--images", "images", "--masks", "masks", "--test-share", "0.2")
    items = content["training"] + content["testing"]
    assert len({item["image"] for item in items}) == len(items) == 60
    assert len(content["testing"]) == 12
    masks = [mask for item in items for mask in ([item["label"]] if isinstance(item["label"], str) else item["label"])]
    assert {folder / mask for mask in masks} == {p for p in (folder / "masks").iterdir() if p.suffix == ".png"}
    for item in items[:5]:
        read = LoadCased()({key: folder / item[key] for key in ("image", "label")})
        assert read["image"].shape == read["label"].shape
        assert torch.unique(read["label"]).tolist() == [0, 1]


def test_datalist_of_breast_ultrasound_classes(real_data: Path, tmp_path: Path) -> None:
    content = build(real_data / "breast_us_classes", tmp_path, "--classes", "folder")
    assert len(content["training"]) == 257
    names = class_names(tmp_path / "datalist.json", tmp_path)
    found = Counter(names[item["label"]] for item in content["training"])
    assert found == {"benign": 98, "malignant": 70, "normal": 89}
    assert all(item["image"].startswith(names[item["label"]] + "/") for item in content["training"])
    for fold in range(5):  # stratified
        shares = Counter(names[item["label"]] for item in content["training"] if item["fold"] == fold)
        assert all(abs(shares[name] - found[name] / 5) <= 1 for name in found)


def test_datalist_of_brain_tumours(real_data: Path, tmp_path: Path) -> None:
    sequences = ("flair", "t1post", "t2")
    content = build(
        real_data / "brain_tumour_mr", tmp_path, "--channels", *sequences, "--patient-pattern", r"(PGBM-\d+)",
        "--folds", "2",
    )  # fmt: skip
    items = content["training"]
    assert len(items) == 3
    assert sorted(Counter(item["patient"] for item in items).values()) == [1, 2]
    studies = {item["image"][0].rsplit("_", 1)[0]: item["patient"] for item in items}
    assert studies["PGBM-001_19911119"] == studies["PGBM-001_19920402"] != studies["PGBM-006_19961210"]
    assert len({(item["patient"], item["fold"]) for item in items}) == 2  # a patient's studies stay together
    assert {item["fold"] for item in items} == {0, 1}
    for item in items:
        assert [path.rsplit("_", 1)[1] for path in item["image"]] == [f"{name}.nii.gz" for name in sequences]
        paths = [real_data / "brain_tumour_mr" / path for path in item["image"]]
        assert LoadCased(in_channels=3)({"image": paths})["image"].shape[0] == 3


@pytest.fixture(scope="module")
def random_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a network that was never trained, but which tells places apart."""
    bundle = copy_bundle("dino_segmentation", tmp_path_factory.mktemp("bundles") / "random")
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "encoder": TINY["dinov2"], "adaptation": "full", "decoder": "linear", "image_size": 112, "in_channels": 1,
    }  # fmt: skip
    network = DinoSegmenter(**settings, out_channels=2)
    head = network.decoder.head
    torch.nn.init.normal_(head.weight, std=5.0)
    torch.nn.init.zeros_(head.bias)
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    save_settings(bundle / "models" / "settings.json", settings | {"modality": "ct", "class_names": ["a", "b"]})
    return bundle


def test_series_and_its_copies_are_segmented_alike(real_data: Path, random_segmenter: Path, tmp_path: Path) -> None:
    """512 x 512 x 20 voxels in JPEG 2000; copies as NIfTI, as read and with two axes flipped."""
    source = real_data / "abdomen_ct" / "dicom_series"
    series = read_volume(source)
    assert series.shape == (1, 512, 512, 20)
    array, affine = np.asarray(series.as_tensor())[0].astype(np.int16), series.affine.numpy()
    assert array.min() >= -1024
    assert array.max() > 500
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[:3, 3] = 511, 0, 19
    (tmp_path / "in").mkdir()
    os.symlink(source, tmp_path / "in" / "series")
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "in" / "copy.nii.gz")
    nib.save(nib.Nifti1Image(array[::-1, :, ::-1], affine @ flip), tmp_path / "in" / "flipped.nii.gz")
    run_bundle(random_segmenter, "inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out")
    masks = {name: load_labels(tmp_path / "out" / f"{name}_seg.nii.gz") for name in ("series", "copy", "flipped")}
    assert masks["series"].shape == (512, 512, 20)
    assert 0.02 < masks["series"].mean() < 0.98
    np.testing.assert_array_equal(masks["copy"], masks["series"])
    np.testing.assert_array_equal(masks["flipped"][::-1, :, ::-1], masks["series"])
    for name, wanted in (("series", affine), ("copy", affine), ("flipped", affine @ flip)):
        np.testing.assert_allclose(nib.load(tmp_path / "out" / f"{name}_seg.nii.gz").affine, wanted, atol=1e-4)
    # The planes of a place are told apart: the flipped mask is not the same by index.
    assert (masks["flipped"] != masks["series"]).mean() > 0.01
    volumes = {row["case"]: float(row["b_mm3"]) for row in read_table(tmp_path / "out" / "predictions.csv")}
    assert volumes["series"] == pytest.approx(volumes["flipped"], rel=1e-5)


def test_organs_of_the_series_lie_on_its_grid(real_data: Path) -> None:
    """Their file has its y axis flipped against the series."""
    folder = real_data / "abdomen_ct"
    item = LoadCased()({"image": folder / "dicom_series", "label": folder / "dicom_series_organs.nii.gz"})
    assert torch.linalg.det(item["image"].affine[:3, :3]) * torch.linalg.det(item["label"].affine[:3, :3]) < 0
    item = OrientToPlaned(("image", "label"), "axial")(item)
    classes = int(item["label"].max()) + 1
    checked = CheckLabeld("label", "image", classes)(item)
    image, label = checked["image"].as_tensor()[0], checked["label"].as_tensor()[0]
    assert len(torch.unique(label)) == 31 + 1  # and what is none of them
    body = image[label > 0].median()  # organs are soft tissue and bone, not the air around the patient
    assert body > -50
    assert image[label == 0].median() < body


def test_two_epochs_on_hippocampus_lower_the_loss(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "hippocampus_mr"
    content = build(folder, tmp_path, "--images", "images", "--masks", "labels", "--modality", "mr")
    content["training"] = [item | {"fold": int(k > 1)} for k, item in enumerate(content["training"][:6])]
    (tmp_path / "six.json").write_text(json.dumps(content))
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    settings = SEGMENTATION | {"samples_per_epoch": 64}
    run_bundle(bundle, "train", dataset_dir=folder, datalist=tmp_path / "six.json", **settings)
    first, second = (float(row["loss"]) for row in read_table(bundle / "runs" / "training.csv"))
    assert second < first
    run_bundle(bundle, "evaluate", dataset_dir=folder, split="validation", precision="fp32")
    assert read_summary(bundle / "eval" / "segmentation.json")["mean"]["dice"]["n"] == 2
