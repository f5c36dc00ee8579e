# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import OBLIQUE, series_affine, write_enhanced, write_series
from pydicom import dcmread

from monai_dino.data.dicom_source import check_source, on_slices, read_source
from monai_dino.errors import InputError

VOXELS = np.random.default_rng(0).integers(0, 100, (5, 7, 4)).astype("<i2")
AFFINE = series_affine(**OBLIQUE)


def test_each_slice_lies_at_its_place(tmp_path: Path) -> None:
    files = write_series(tmp_path, VOXELS, names=["c.dcm", "a.dcm", "d.dcm", "b.dcm"], **OBLIQUE)
    source = read_source(tmp_path)
    assert source.shape == (4, 7, 5)
    assert [h.filename for h in source.headers] == [str(file) for file in files]
    for k, affine in enumerate(source.affines):
        for pixel in ((0, 0), (4, 0), (0, 6), (4, 6)):
            np.testing.assert_allclose(affine @ (*pixel, 0, 1), AFFINE @ (*pixel, k, 1), atol=1e-5)
    assert np.array_equal(on_slices(VOXELS, AFFINE, source, "x"), VOXELS.transpose(2, 1, 0))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_frames_come_as_they_lie_in_the_file(order: list[int], tmp_path: Path) -> None:
    files = write_series(tmp_path / "series", VOXELS, **OBLIQUE)
    path = write_enhanced(tmp_path / "x.dcm", [files[k] for k in order])
    source = read_source(path)
    assert (source.shape, len(source.headers)) == ((4, 7, 5), 1)
    assert np.array_equal(on_slices(VOXELS, AFFINE, source, "x"), dcmread(path).pixel_array)


def test_voxels_are_found_whatever_the_order_and_direction_of_the_axes(tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, **OBLIQUE)
    source = read_source(tmp_path)
    turned, affine = VOXELS[:, ::-1].transpose(1, 2, 0), AFFINE.copy()
    affine[:3, 3] += 6 * AFFINE[:3, 1]
    affine[:3, :3] = np.stack([-AFFINE[:3, 1], AFFINE[:3, 2], AFFINE[:3, 0]], axis=1)
    assert np.array_equal(on_slices(turned, affine, source, "x"), VOXELS.transpose(2, 1, 0))


@pytest.mark.parametrize("moved", [(0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3), (1, 0, 0), (0, 0, -1)])
def test_voxels_elsewhere_are_refused(moved: tuple[float, ...], tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, **OBLIQUE)
    affine = AFFINE.copy()
    affine[:3, 3] += AFFINE[:3, :3] @ moved
    with pytest.raises(InputError, match=r"it of shape \(5, 7, 4\) does not lie on the 4 slices of 7 x 5 pixels; give"):
        on_slices(VOXELS, affine, read_source(tmp_path), "it")


@pytest.mark.parametrize(("stated", "thickness"), [(None, 2.5), (5, 5)])
def test_geometry_is_one_and_follows_from_the_places(stated: float | None, thickness: float, tmp_path: Path) -> None:
    directions = [["1", "0", "0", "0", "1", f"{k}e-5"] for k in range(4)]
    settings: dict[str, Any] = {"ImageOrientationPatient": directions, "SpacingBetweenSlices": 0.3}
    write_series(tmp_path, VOXELS, SliceThickness=stated, **settings)
    for header in read_source(tmp_path).headers:
        assert [float(v) for v in header.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
        assert header.SliceThickness == thickness
        assert "SpacingBetweenSlices" not in header


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"])
def test_an_image_without_geometry_is_refused(tag: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {tag: None}
    (file,) = write_series(tmp_path, VOXELS[..., :1], Modality="US", **settings)
    for use in (check_source, read_source):
        with pytest.raises(InputError, match=rf"000\.dcm: does not state {tag}, .* leave dicom_seg off"):
            use(file)


def test_what_is_not_dicom_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.touch()
    for use in (check_source, read_source):
        with pytest.raises(InputError, match=r"a\.png: is not DICOM, .* give DICOM alone, or leave dicom_seg off"):
            use(picture)
    with pytest.raises(InputError, match="holds no DICOM images"):
        check_source(tmp_path)


def test_removed_uids_are_replaced_the_same_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    removed: dict[str, Any] = {"StudyInstanceUID": "", "SeriesInstanceUID": None, "SOPInstanceUID": ""}
    files = write_series(tmp_path / "one", VOXELS, SOPClassUID=None, **removed)
    write_series(tmp_path / "two", VOXELS, **removed)
    first, again, other = (read_source(tmp_path / name).headers for name in ("one", "one", "two"))
    for header, file in zip(first, files, strict=True):
        assert header.SOPInstanceUID == dcmread(file).file_meta.MediaStorageSOPInstanceUID
        assert header.SOPClassUID.name == "CT Image Storage"
    for tag in ("StudyInstanceUID", "SeriesInstanceUID"):
        uids = {h[tag].value for h in first}
        assert len(uids) == 1
        assert uids == {h[tag].value for h in again}
        assert not uids & {h[tag].value for h in other}
    assert first[0].StudyInstanceUID != first[0].SeriesInstanceUID
    assert "one: states no StudyInstanceUID and no SeriesInstanceUID" in caplog.text


def test_an_instance_without_uid_is_refused(tmp_path: Path) -> None:
    (file,) = write_series(tmp_path, VOXELS[..., :1], SOPInstanceUID=None)
    image = dcmread(file)
    del image.file_meta.MediaStorageSOPInstanceUID
    image.save_as(file, enforce_file_format=False)
    with pytest.raises(InputError, match=r"000\.dcm: has no SOPInstanceUID"):
        read_source(file)
