# SPDX-License-Identifier: Apache-2.0
"""One volume in several files: the prediction at a place in the patient does not depend on how the file stores it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bundle_runs import CLASSIFICATION, copy_bundle, load_labels, read_table, run_bundle
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from scipy.spatial.transform import Rotation
from synthetic import ball_volume, write_balls, write_dicom_series, write_stripes, write_volume

ORIENTATIONS = ("RAS", "LPS", "LPI", "PIR", "SAL", "ARI")


def oblique(degrees: float) -> np.ndarray:
    """The affine of a series whose slices are tilted, X to the patient's left and Y to the back as scanners write."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", [degrees, -degrees / 2, degrees / 3], degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.diag([-0.8, -0.7, 2.2])
    affine[:3, 3] = 60, -31.5, 12.25
    return affine


def stored_as(array: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same volume with its axes along other directions."""
    change = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    return apply_orientation(array, change), affine @ inv_ornt_aff(change, array.shape)


def at_places_of(values: nib.Nifti1Image, reference: nib.Nifti1Image) -> np.ndarray:
    """Values at the centres of another image's voxels, which must be centres of its own voxels."""
    indices = np.indices(reference.shape[:3]).reshape(3, -1)
    world = reference.affine[:3, :3] @ indices + reference.affine[:3, 3:]
    inverse = np.linalg.inv(values.affine)
    own = inverse[:3, :3] @ world + inverse[:3, 3:]
    np.testing.assert_allclose(own, own.round(), atol=1e-3)
    x, y, z = own.round().astype(int)
    return np.asarray(values.dataobj)[x, y, z].reshape(*reference.shape[:3], *values.shape[3:])


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """Whole numbers, which a DICOM series can hold, without symmetries."""
    image, _ = ball_volume(np.random.default_rng(8), (24, 30, 6))
    return image.round().astype(np.int16)


@pytest.mark.parametrize("degrees", [0, 17])
@pytest.mark.parametrize("output", ["labels", "probabilities"])
def test_prediction_is_that_of_the_place(
    degrees: float, output: str, volume: np.ndarray, trained_segmenter: Path, tmp_path: Path
) -> None:
    affine = oblique(degrees)
    write_dicom_series(tmp_path / "in" / "series", volume, affine)
    for codes in ORIENTATIONS:
        array, turned = stored_as(volume, affine, codes)
        write_volume(tmp_path / "in" / f"{codes}.nii.gz", array.astype(np.float32), turned)
    run_bundle(
        trained_segmenter, "inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out", output=output,
        precision="fp32",
    )  # fmt: skip
    suffix = "seg" if output == "labels" else "prob"
    series = nib.load(tmp_path / "out" / f"series_{suffix}.nii.gz")
    assert series.shape[:3] == volume.shape
    np.testing.assert_allclose(series.affine, affine, atol=1e-4)
    wanted = np.asarray(series.dataobj)
    if output == "labels":
        assert 50 < wanted.sum() < wanted.size / 2
    for codes in ORIENTATIONS:
        copy = nib.load(tmp_path / "out" / f"{codes}_{suffix}.nii.gz")
        assert "".join(nib.aff2axcodes(copy.affine)) == codes
        np.testing.assert_allclose(at_places_of(copy, series), wanted, atol=1e-6)
    volumes = {row["case"]: float(row["ball_mm3"]) for row in read_table(tmp_path / "out" / "predictions.csv")}
    assert set(volumes) == {"series", *ORIENTATIONS}
    assert all(v == pytest.approx(volumes["series"], rel=1e-5) for v in volumes.values())


def test_prediction_is_not_that_of_the_indices(volume: np.ndarray, trained_segmenter: Path, tmp_path: Path) -> None:
    """The test above could pass with a network that sees no orientation; this one cannot."""
    affine = oblique(0)
    turned = affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
    for name, a in (("one", affine), ("other", turned)):
        write_volume(tmp_path / "in" / f"{name}.nii.gz", volume.astype(np.float32), a)
    run_bundle(
        trained_segmenter, "inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out",
        output="probabilities", precision="fp32",
    )  # fmt: skip
    one, other = (np.asarray(nib.load(tmp_path / "out" / f"{n}_prob.nii.gz").dataobj) for n in ("one", "other"))
    assert np.abs(one - other).max() > 1e-3


def test_masks_stored_otherwise_than_their_images(trained_segmenter: Path, tmp_path: Path) -> None:
    """A mask whose axes run in other directions, but which lies where its image does, is as good."""
    data = write_balls(tmp_path / "data")
    run_bundle(trained_segmenter, "evaluate", dataset_dir=data, output_dir=tmp_path / "before")
    for case, codes in ((4, "RAS"), (5, "PIR")):
        path = data / "labels" / f"case{case}.nii.gz"
        array, affine = stored_as(load_labels(path), nib.load(path).affine, codes)
        write_volume(path, array, affine)
    run_bundle(trained_segmenter, "evaluate", dataset_dir=data, output_dir=tmp_path / "after")
    before, after = (read_table(tmp_path / when / "segmentation.csv") for when in ("before", "after"))
    assert before == after


def test_a_slice_is_a_volume(trained_segmenter: Path, volume: np.ndarray, tmp_path: Path) -> None:
    """A single DICOM file, and its NIfTI copies with and without a third axis."""
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    one = volume[:, :, 3:4]
    write_dicom_series(tmp_path / "dicom", one, affine)
    (tmp_path / "in").mkdir()
    next((tmp_path / "dicom").iterdir()).rename(tmp_path / "in" / "slice.dcm")
    write_volume(tmp_path / "in" / "thin.nii.gz", one.astype(np.float32), affine)
    write_volume(tmp_path / "in" / "flat.nii.gz", one[..., 0].astype(np.float32), affine)
    run_bundle(trained_segmenter, "inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out")
    masks = [load_labels(tmp_path / "out" / f"{name}_seg.nii.gz") for name in ("slice", "thin", "flat")]
    assert all(mask.shape == (24, 30, 1) for mask in masks)
    assert masks[0].any()
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


def test_classes_of_a_series_and_of_its_copies(volume: np.ndarray, tmp_path: Path) -> None:
    """Also for the classifier, whose slices are resized and pooled."""
    bundle = copy_bundle("dino_classification", tmp_path / "bundle")
    data = write_stripes(tmp_path / "data")
    run_bundle(bundle, "train", dataset_dir=data, **CLASSIFICATION | {"epochs": 1})
    affine = oblique(17)
    write_dicom_series(tmp_path / "in" / "series", volume, affine)
    for codes in ORIENTATIONS:
        array, turned = stored_as(volume, affine, codes)
        write_volume(tmp_path / "in" / f"{codes}.nii.gz", array.astype(np.float32), turned)
    run_bundle(bundle, "inference", dataset_dir=tmp_path / "in", output_dir=tmp_path / "out", precision="fp32")
    found = [float(row["p_across"]) for row in read_table(tmp_path / "out" / "predictions.csv")]
    assert len(found) == 1 + len(ORIENTATIONS)
    np.testing.assert_allclose(found, found[0], atol=1e-6)
