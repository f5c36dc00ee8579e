# SPDX-License-Identifier: Apache-2.0
"""Cases whose channels are files of their own, such as MR sequences."""

from __future__ import annotations

import shutil
from pathlib import Path

from bundle_runs import SEGMENTATION, copy_bundle, run_bundle

from monai_dino.commands import main


def test_files_that_are_channels_of_a_case(balls: Path, tmp_path: Path) -> None:
    """Trained and applied from the same kind of folder, without listing the files by hand."""
    data = tmp_path / "data"
    for folder in ("images", "masks"):
        (data / folder).mkdir(parents=True)
    for k in range(6):
        for end in ("b", "a"):
            shutil.copyfile(balls / "images" / f"case{k}.nii.gz", data / "images" / f"case{k}_{end}.nii.gz")
        shutil.copyfile(balls / "labels" / f"case{k}.nii.gz", data / "masks" / f"case{k}.nii.gz")
    options = [
        "--images",
        "images",
        "--masks",
        "masks",
        "--channels",
        "a",
        "b",
        "--folds",
        "2",
        "--test-share",
        "0.3",
        "--modality",
        "mr",
    ]
    assert main(["datalist", str(data), *options]) == 0
    bundle = copy_bundle("dino_segmentation", tmp_path / "bundle")
    settings = SEGMENTATION | {"in_channels": 2, "epochs": 1, "samples_per_epoch": 8}
    run_bundle(bundle, "train", dataset_dir=data, **settings)
    run_bundle(bundle, "evaluate", dataset_dir=data)
    run_bundle(bundle, "inference", dataset_dir=data / "images", output_dir=tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.nii.gz")) == [f"case{k}_seg.nii.gz" for k in range(6)]
