# SPDX-License-Identifier: Apache-2.0
"""A DICOM series, its NIfTI copy and the slices in a store are the same voxels in the same places of the patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from dicom_files import OBLIQUE, write_series

from monai_dino.data import SliceDataset, SliceStore, read_volume

PLACES: list[dict[str, Any]] = [
    {},
    OBLIQUE,
    OBLIQUE | {"step": (0.3, -1.0, 2.0)},
    {"row": (0, 1, 0), "column": (0, 0, -1), "origin": (5, 6, 7)},
    {"step": (0, 0, -2)},
]


def copies_of(series: Path, folder: Path) -> list[str]:
    """The series as NIfTI, as it is and turned to another orientation."""
    volume = read_volume(series)
    image = nib.Nifti1Image(volume.numpy()[0], volume.affine.numpy())
    turn = nib.orientations.axcodes2ornt(("S", "P", "R"))
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), turn))
    nib.save(image, folder / "copy.nii.gz")
    nib.save(turned, folder / "turned.nii")
    return [str(folder / "copy.nii.gz"), str(folder / "turned.nii")]


def assert_agree(series: Path, folder: Path, plane: Any, points: int) -> None:
    images = [str(series), *copies_of(series, folder)]
    volumes = [read_volume(image) for image in images]
    store = SliceStore([{"image": i} for i in images], folder / "store", plane=plane, progress=False)
    rng = np.random.default_rng(0)
    for volume, case in zip(volumes, store.stored, strict=True):
        voxels, affine = volume.numpy()[0], volume.affine.numpy()
        for index in rng.integers(0, voxels.shape, (points, 3)):
            world = affine @ [*index, 1]
            for other in volumes:  # in each file
                place = np.rint(np.linalg.solve(other.affine.numpy(), world)[:3]).astype(int)
                assert other.numpy()[0][tuple(place)] == voxels[tuple(index)]
            row, column, k = np.rint(np.linalg.solve(case.affine, world)[:3]).astype(int)
            piece = case.slice_item(int(k))["image"]  # and in the slice
            assert piece[0, row, column] == voxels[tuple(index)]
            np.testing.assert_allclose(piece.affine.numpy() @ [row, column, 0, 1], world, atol=1e-3)
    first = store[0]["image"]
    for k in (1, 2):
        assert np.array_equal(store[k]["image"].numpy(), first.numpy())
        np.testing.assert_allclose(store[k]["image"].affine, first.affine, atol=1e-3)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("place", PLACES, ids=["plain", "oblique", "tilted", "sagittal", "backwards"])
def test_synthetic_series(place: dict[str, Any], plane: str, tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(-900, 900, (6, 8, 5)).astype("<i2")
    names = [f"{k}.dcm" for k in (3, 0, 4, 1, 2)]
    write_series(tmp_path / "series", voxels, **place, names=names, RescaleSlope=2, RescaleIntercept=-24)
    assert_agree(tmp_path / "series", tmp_path, plane, points=12)


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_real_series(plane: str, tmp_path: Path, real_data: Path) -> None:
    assert_agree(real_data / "abdomen_ct" / "dicom_series", tmp_path, plane, points=6)


def test_real_series_and_its_organs(tmp_path: Path, real_data: Path) -> None:
    """Whose y axis is flipped against the series."""
    folder = real_data / "abdomen_ct"
    item = {"image": str(folder / "dicom_series"), "label": str(folder / "dicom_series_organs.nii.gz")}
    store = SliceStore([item], tmp_path / "store", out_channels=118, progress=False)
    sample = SliceDataset(store)[10]
    lungs = np.isin(sample["label"].numpy()[0], range(10, 15))  # TotalSegmentator's lobes
    liver = sample["label"].numpy()[0] == 5
    inside = [sample["image"].numpy()[0][mask].mean() for mask in (lungs, liver) if mask.any()]
    assert inside
    if lungs.any():
        assert sample["image"].numpy()[0][lungs].mean() < -500
    if liver.any():
        assert 0 < sample["image"].numpy()[0][liver].mean() < 200
