# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import OBLIQUE, series_affine, write_enhanced, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.image_reader import ITKReader
from pydicom import dcmread

from monai_dino.data.dicom_geometry import frame_headers, image_affine
from monai_dino.data.reading import read_volume
from monai_dino.errors import InputError

VOXELS = np.random.default_rng(0).integers(0, 100, (5, 7, 1)).astype("<i2")


@settings(deadline=None, max_examples=20)
@given(angles=st.tuples(*[st.floats(-3, 3)] * 3), origin=st.tuples(*[st.floats(-500, 500)] * 3))
def test_in_plane_as_itk_has_it(
    angles: tuple[float, ...], origin: tuple[float, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    (a, b, c), turn = angles, np.eye(3)
    for k, angle in enumerate((a, b, c)):
        one = np.eye(3)
        i, j = [n for n in range(3) if n != k]
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    (path,) = write_series(tmp_path_factory.mktemp("x"), VOXELS, row=turn[0], column=turn[1], origin=origin)
    reader = ITKReader()
    expected = reader.get_data(reader.read(str(path)))[1]["affine"]
    found = image_affine(path, dcmread(path))
    np.testing.assert_allclose(found[:, [0, 1, 3]], expected[:, [0, 1, 3]], atol=1e-4)


@pytest.mark.parametrize("directions", [[1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0]])
def test_directions_that_are_none(directions: Any, tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, VOXELS, ImageOrientationPatient=[directions])
    with pytest.raises(InputError, match=r"no two directions at right angles \(ImageOrientationPatient\)"):
        read_volume(path)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "NM"])
def test_a_volume_states_the_size_of_its_pixels(modality: str, tmp_path: Path) -> None:
    write_series(tmp_path, np.repeat(VOXELS, 3, axis=2), PixelSpacing=None, Modality=modality)
    with pytest.raises(InputError, match=r"does not state the size of its pixels \(PixelSpacing\)"):
        read_volume(tmp_path)


def test_pictures_have_pixels_of_size_1_or_of_the_detector(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tags: dict[str, Any] = {"PixelSpacing": None, "ImagePositionPatient": None, "ImageOrientationPatient": None}
    (us,) = write_series(tmp_path / "us", VOXELS, Modality="US", **tags)
    with caplog.at_level("INFO", "monai_dino"):
        assert np.array_equal(read_volume(us).affine, np.diag([-1, -1, 1, 1]))
    assert "does not state the size of its pixels; 1 is assumed" in caplog.text
    (dx,) = write_series(tmp_path / "dx", VOXELS, Modality="DX", ImagerPixelSpacing=[[0.2, 0.1]], **tags)
    assert np.array_equal(read_volume(dx).affine, np.diag([-0.1, -0.2, 1, 1]))


def multi_frame(path: Path, order: list[int], **change: Any) -> np.ndarray:
    """An enhanced CT whose frames are the slices of a series in another order; returns the voxels of the series."""
    voxels = np.random.default_rng(1).integers(0, 100, (5, 7, 4)).astype("<i2")
    files = write_series(path.parent / "series", voxels, **OBLIQUE)
    write_enhanced(path, [files[k] for k in order], **change)
    return voxels


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_an_enhanced_image_is_the_volume_of_its_frames(order: list[int], tmp_path: Path) -> None:
    voxels = multi_frame(tmp_path / "enhanced.dcm", order, slope=2, intercept=-1000)
    volume, series = read_volume(tmp_path / "enhanced.dcm"), read_volume(tmp_path / "series")
    assert np.array_equal(volume.numpy()[0], voxels.astype(int) * 2 - 1000)
    np.testing.assert_allclose(volume.affine, series.affine, atol=1e-6)
    np.testing.assert_allclose(volume.affine, series_affine(**OBLIQUE), atol=1e-6)


def test_an_enhanced_image_of_one_frame(tmp_path: Path) -> None:
    voxels = multi_frame(tmp_path / "one.dcm", [2], slope=3)
    volume = read_volume(tmp_path / "one.dcm")
    assert np.array_equal(volume.numpy()[0], voxels[:, :, 2:3].astype(int) * 3)
    wanted = series_affine(**OBLIQUE) @ [1, 2, 2, 1]
    np.testing.assert_allclose(volume.affine @ np.array([1.0, 2, 0, 1]), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("order", "words"),
    [([0, 1, 3], "not evenly spaced: .* from frame"), ([0, 1, 1, 2], "frame 2 and frame 3 lie at the same place")],
)
def test_frames_that_are_no_stack_are_refused(order: list[int], words: str, tmp_path: Path) -> None:
    multi_frame(tmp_path / "x.dcm", order)
    with pytest.raises(InputError, match=rf"x\.dcm: .*{words}"):
        read_volume(tmp_path / "x.dcm")


def edited(path: Path, edit: Any) -> Path:
    """An enhanced CT of the slope 2, changed."""
    multi_frame(path, [0, 1, 2], slope=2)
    image = dcmread(path)
    edit(image)
    image.save_as(path)
    return path


def test_units_are_those_of_the_frames(tmp_path: Path) -> None:
    whole = read_volume(edited(tmp_path / "a.dcm", lambda image: None)).numpy()

    def state_twice(image: Any) -> None:
        image.RescaleSlope, image.RescaleIntercept = 5, 7

    assert np.array_equal(read_volume(edited(tmp_path / "b.dcm", state_twice)).numpy(), whole)

    def state_for_all(image: Any) -> None:
        del image.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
        state_twice(image)

    assert np.array_equal(read_volume(edited(tmp_path / "c.dcm", state_for_all)).numpy(), whole / 2 * 5 + 7)

    def state_none(image: Any) -> None:
        del image.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence

    with pytest.raises(InputError, match=r"d\.dcm: a CT without rescale slope and intercept"):
        read_volume(edited(tmp_path / "d.dcm", state_none))


def test_units_are_not_applied_twice_by_the_other_reader(tmp_path: Path) -> None:
    """ITK applies units by itself, so frames that only it can decode are refused."""
    path = edited(
        tmp_path / "x.dcm", lambda image: image.compress("1.2.840.10008.1.2.4.80", encoding_plugin="pyjpegls")
    )
    with pytest.raises(InputError, match=r"x\.dcm: frames with units of their own in JPEG-LS Lossless"):
        read_volume(path)
    rle = edited(tmp_path / "y.dcm", lambda image: image.compress("1.2.840.10008.1.2.5"))
    assert np.array_equal(read_volume(rle).numpy(), read_volume(edited(tmp_path / "z.dcm", lambda _: None)).numpy())


def test_frames_without_places_are_refused(tmp_path: Path) -> None:
    multi_frame(tmp_path / "x.dcm", [0, 1])
    image = dcmread(tmp_path / "x.dcm")
    del image.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    with pytest.raises(InputError, match=r"x\.dcm: 2 frames that do not state their places in the patient"):
        frame_headers(tmp_path / "x.dcm", image)
