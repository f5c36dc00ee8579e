# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import OBLIQUE, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from monai_dino.data.dicom import are_pictures, is_dicom, one_series, series_in
from monai_dino.data.discovery import find_images
from monai_dino.data.reading import read_volume
from monai_dino.errors import InputError

VOXELS = np.random.default_rng(0).integers(0, 100, (5, 7, 4)).astype("<i2")
SAGITTAL = {"row": (0, 1, 0), "column": (0, 0, -1)}
CORONAL = {"row": (1, 0, 0), "column": (0, 0, -1)}


@pytest.mark.parametrize(
    ("name", "dicom"),
    [
        ("a.dcm", True),
        ("A.DCM", True),
        ("a.ima", True),
        ("a.dicom", True),
        ("IM0001", True),
        ("1.2.840.113619.2", True),
        ("a.txt", False),
        ("a.dcm.bak", False),
        ("DICOMDIR", False),
        ("._a.dcm", False),
        (".DS_Store", False),
    ],
)
def test_which_files_are_dicom(name: str, dicom: bool, tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS[:, :, :1], names=[name])
    assert is_dicom(tmp_path / name) is dicom


@pytest.mark.parametrize("name", ["README", "1.2.840"])
def test_a_name_without_suffix_is_not_enough(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"text " * 50)
    assert not is_dicom(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    assert not is_dicom(tmp_path / name)


def test_files_are_grouped_by_series(tmp_path: Path) -> None:
    uids: Any = ["1.1", "1.2", "1.1", "1.2"]
    a, b, c, d = write_series(tmp_path, VOXELS, SeriesInstanceUID=uids)
    (inner,) = write_series(tmp_path / "inner", VOXELS[:, :, :1])
    assert series_in(tmp_path) == {"1.1": [a, c], "1.2": [b, d]}
    assert series_in(tmp_path / "inner") == {"1.2.3.4": [inner]}
    with pytest.raises(InputError, match="holds 2 DICOM series, expected one; put the files of each series into"):
        one_series(tmp_path)


def test_series_without_uid_is_one(tmp_path: Path) -> None:
    files = write_series(tmp_path, VOXELS, SeriesInstanceUID=None)
    assert series_in(tmp_path) == {"": files}
    assert one_series(tmp_path).files == files


def test_what_has_no_pixels_is_left_out(tmp_path: Path) -> None:
    files = write_series(tmp_path, VOXELS)
    for name in ("rtplan.dcm", "reportsi.dcm", "DICOMDIR"):
        source = get_testdata_file(name, download=False)
        (tmp_path / name).write_bytes(Path(str(source)).read_bytes())
    assert series_in(tmp_path) == {"1.2.3.4": files}


@settings(deadline=None, max_examples=15)
@given(order=st.permutations(range(5)), place=st.sampled_from([{}, OBLIQUE, SAGITTAL, CORONAL]), tilted=st.booleans())
def test_slices_come_in_the_order_of_their_places(
    order: list[int], place: dict[str, Any], tilted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("series")
    normal = np.cross(place.get("row", (1, 0, 0)), place.get("column", (0, 1, 0)))
    step = 2 * normal + (0.5 * np.array(place.get("row", (1, 0, 0))) if tilted else 0)
    files = write_series(folder, np.zeros((3, 4, 5), "<i2"), **place, step=step, names=[f"{i}.dcm" for i in order])
    series = one_series(folder)
    assert series.files == files
    np.testing.assert_allclose(series.step, step, atol=1e-6)
    assert series.one_scale


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_without_places_the_instance_number_orders(missing: str, tmp_path: Path) -> None:
    numbers: Any = [3, 1, 10, 2]
    files = write_series(tmp_path, VOXELS, **{missing: None}, InstanceNumber=numbers)
    series = one_series(tmp_path)
    assert series.files == [files[1], files[3], files[0], files[2]]


@pytest.mark.parametrize(
    ("tags", "distance"),
    [({"SpacingBetweenSlices": 5, "SliceThickness": 3}, 5), ({"SliceThickness": 3}, 3), ({}, 1)],
)
def test_without_places_the_stated_distance_counts(
    tags: dict[str, Any], distance: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path, VOXELS, ImagePositionPatient=None, **tags)
    series = one_series(tmp_path)
    assert series.step is not None
    assert series.step.tolist() == [0, 0, distance]
    assert ("1 mm is assumed" in caplog.text) == (not tags)
    assert read_volume(tmp_path).affine[2, 2] == distance


@pytest.mark.parametrize(
    "tags", [{"InstanceNumber": 1}, {"InstanceNumber": None}, {"SeriesInstanceUID": None}], ids=lambda t: next(iter(t))
)
def test_pictures_that_nothing_joins_are_no_volume(tags: dict[str, Any], tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, ImagePositionPatient=None, **tags)
    refused(tmp_path, "state neither their places nor a series with an order of slices")


@pytest.mark.parametrize(
    "tags", [{"RescaleSlope": [1, 1, 2, 1]}, {"RescaleIntercept": [0, 0, 0, 1]}, {"PixelRepresentation": [0, 1, 1, 1]}]
)
def test_differing_scales_are_noticed(tags: dict[str, Any], tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS, **tags)
    assert not one_series(tmp_path).one_scale


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        one_series(folder)
    assert str(folder) in str(error.value)


def test_duplicates_are_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path, VOXELS)
    (tmp_path / "copy.dcm").write_bytes(files[2].read_bytes())
    refused(tmp_path, r"(002\.dcm and copy\.dcm|copy\.dcm and 002\.dcm) lie at the same place; take the duplicates out")


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_slice_is_noticed(missing: int, tmp_path: Path) -> None:
    files = write_series(tmp_path, np.zeros((3, 4, 6), "<i2"), **OBLIQUE)
    files[missing].unlink()
    names = rf"{missing - 1:03d}\.dcm to {missing + 1:03d}\.dcm"
    refused(tmp_path, rf"not evenly spaced: .* from {names}, .* elsewhere, so one may be missing; export")


def test_slices_that_leave_the_line_are_noticed(tmp_path: Path) -> None:
    places: Any = [[0, 0, 0], [0, 0, 2.5], [1, 0, 5], [0, 0, 7.5]]
    write_series(tmp_path, VOXELS, ImagePositionPatient=places)
    refused(tmp_path, r"not evenly spaced: .* from 001\.dcm to 002\.dcm")


def test_small_jitter_of_places_is_accepted(tmp_path: Path) -> None:
    places: Any = [[0, 0, 0], [0, 0, 2.51], [0, 0.01, 5.01], [0, 0, 7.49]]
    write_series(tmp_path, VOXELS, ImagePositionPatient=places)
    np.testing.assert_allclose(one_series(tmp_path).step, [0, 0, 7.49 / 3], atol=1e-6)


def test_mixed_orientations_are_refused(tmp_path: Path) -> None:
    turned: Any = [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1, 0]]
    write_series(tmp_path, VOXELS, ImageOrientationPatient=turned)
    refused(tmp_path, "its slices differ in orientation; put each stack into a folder of its own")


def test_mixed_sizes_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "sizes", VOXELS)
    write_series(tmp_path / "sizes", VOXELS[:4, :, :1], origin=(0, 0, 10), names=["x.dcm"])
    refused(tmp_path / "sizes", r"x\.dcm and 000\.dcm differ in size or pixel spacing")
    spacing: Any = [[0.9, 0.7], [0.9, 0.7], [0.9, 0.8], [0.9, 0.7]]
    write_series(tmp_path / "spacing", VOXELS, PixelSpacing=spacing)
    refused(tmp_path / "spacing", r"002\.dcm and 000\.dcm differ in size or pixel spacing")


def test_some_places_unknown(tmp_path: Path) -> None:
    places: Any = [[0, 0, 0], [0, 0, 2.5], None, [0, 0, 7.5]]
    write_series(tmp_path, VOXELS, ImagePositionPatient=places)
    refused(tmp_path, r"002\.dcm does not state its place in the patient, but others do")


def test_several_frames_among_slices(tmp_path: Path) -> None:
    frames: Any = [None, 3, None, None]
    write_series(tmp_path, VOXELS, NumberOfFrames=frames)
    refused(tmp_path, r"001\.dcm holds several frames")


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_unreadable_file_is_named(content: bytes, tmp_path: Path) -> None:
    write_series(tmp_path, VOXELS)
    (tmp_path / "junk.dcm").write_bytes(content)
    with pytest.raises(InputError, match=r"junk\.dcm: (not a readable DICOM file|its header is cut short)"):
        series_in(tmp_path)


def test_an_image_cut_short_is_not_taken_for_a_report(tmp_path: Path) -> None:
    files = write_series(tmp_path, VOXELS)
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[: whole.index(b"1.2.3.4")])  # in the middle of the series' UID, long before the pixels
    with pytest.raises(InputError, match=r"001\.dcm: (its header is cut short|not a readable DICOM file)"):
        series_in(tmp_path)
    rows = whole.index(b"\x28\x00\x10\x00")  # Rows, (0028,0010)
    files[1].write_bytes(whole[:rows])
    with pytest.raises(InputError, match=r"001\.dcm: its header is cut short"):
        series_in(tmp_path)


def test_a_distance_that_drifts_is_noticed(tmp_path: Path) -> None:
    """No gap differs by a tenth from the usual one, and the middle slice lies far from even steps."""
    z = np.concatenate([np.arange(21) * 1.0, 20 + np.arange(1, 21) * 1.2])
    places: Any = [[0, 0, float(v)] for v in z]
    write_series(tmp_path, np.zeros((3, 4, 41), "<i2"), ImagePositionPatient=places)
    refused(tmp_path, r"not evenly spaced: 020\.dcm lies 2 mm from where 1\.1 mm a slice would put it")


@pytest.mark.parametrize("modality", ["US", "DX", None])
def test_pictures_of_one_series_are_no_volume(modality: str | None, tmp_path: Path) -> None:
    files = write_series(tmp_path, VOXELS, ImagePositionPatient=None, ImageOrientationPatient=None, Modality=modality)
    assert are_pictures(files)
    refused(tmp_path, "so they may be pictures of their own")
    found = find_images(tmp_path)
    assert sorted(found.images) == sorted(files)
    placed = write_series(tmp_path / "placed", VOXELS, Modality=modality)
    assert not are_pictures(placed)
    assert find_images(tmp_path / "placed").images == [tmp_path / "placed"]


def test_without_places_the_orientation_counts(tmp_path: Path) -> None:
    oblique = {key: OBLIQUE[key] for key in ("row", "column")}
    write_series(tmp_path, VOXELS, ImagePositionPatient=None, SliceThickness=3, **oblique)  # type: ignore[arg-type]
    step = one_series(tmp_path).step
    assert step is not None
    np.testing.assert_allclose(step, 3 * np.cross(oblique["row"], oblique["column"]), atol=1e-6)
    mixed: Any = [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1]] * 2
    write_series(tmp_path / "mixed", VOXELS, ImagePositionPatient=None, ImageOrientationPatient=mixed)
    refused(tmp_path / "mixed", "differ in orientation")
