# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
import torch
from dicom_files import (
    OBLIQUE,
    segmentation_by_highdicom,
    segmentation_by_pydicom,
    write_enhanced,
    write_series,
)
from monai.data import MetaTensor
from pydicom import dcmread

import monai_dino
from monai_dino.data import check_dicom_seg, read_volume, write_dicom_seg
from monai_dino.errors import ConfigurationError, InputError

NAMES = ["background", "liver", "tumour", "stent"]
SHAPE = (9, 7, 5)
TURNED = {"row": (0, 1, 0), "column": (0, 0, -1), "origin": (3, -4, 5)}
PLACES: dict[str, dict[str, Any]] = {
    "axial": {},
    "reversed": {"step": (0, 0, -2.5)},
    "coronal": {"row": (1, 0, 0), "column": (0, 0, -1), "origin": (-3, 40, 5)},
    "sagittal": TURNED,
    "oblique": OBLIQUE,
    "tilted": {"step": (0, 0.8, 2.4)},
}


def series(folder: Path, shape: tuple[int, int, int] = SHAPE, **settings: Any) -> list[Path]:
    voxels = np.random.default_rng(0).integers(0, 100, shape).astype("<i2")
    return write_series(folder, voxels, **settings)


def some_mask(path: Path, classes: int = len(NAMES)) -> MetaTensor:
    """A mask of every class on the grid of an image, with an empty slice."""
    image = read_volume(path)
    labels = np.random.default_rng(1).integers(0, classes, image.shape)
    labels[..., 1:2] = 0
    return MetaTensor(torch.from_numpy(labels.astype(np.uint8)), affine=image.affine)


def by_highdicom(path: Path, files: Sequence[Path]) -> np.ndarray:
    """The class numbers at the pixels of each file, (file, row, column)."""
    uids = [dcmread(file, stop_before_pixels=True).file_meta.MediaStorageSOPInstanceUID for file in files]
    segmentation = highdicom.seg.segread(path)
    found: np.ndarray = segmentation.get_pixels_by_source_instance(
        uids, combine_segments=True, ignore_spatial_locations=False, assert_missing_frames_are_empty=True
    )
    return found


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_it_reads_back_voxel_by_voxel(place: str, shuffled: bool, tmp_path: Path) -> None:
    names = [f"{(k * 3) % SHAPE[2]}.dcm" for k in range(SHAPE[2])] if shuffled else None
    files = series(tmp_path / "series", names=names, **PLACES[place])
    mask = some_mask(tmp_path / "series")
    write_dicom_seg(mask, tmp_path / "series", tmp_path / "out" / "seg.dcm", NAMES)
    labels = mask.numpy()[0]
    assert np.array_equal(segmentation_by_pydicom(tmp_path / "out" / "seg.dcm", mask.affine, labels.shape), labels)
    ordered = labels[:, :, ::-1] if place == "reversed" else labels  # the volume has the slices along their normal
    assert np.array_equal(by_highdicom(tmp_path / "out" / "seg.dcm", files), ordered.transpose(2, 1, 0))
    if place != "tilted":  # whose slices are no volume to highdicom
        assert np.array_equal(
            segmentation_by_highdicom(tmp_path / "out" / "seg.dcm", mask.affine, labels.shape), labels
        )
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["seg.dcm"]


@pytest.mark.parametrize("place", ["oblique", "tilted"])
def test_whatever_the_order_and_direction_of_the_masks_axes(place: str, tmp_path: Path) -> None:
    series(tmp_path / "series", **PLACES[place])
    mask = some_mask(tmp_path / "series")
    write_dicom_seg(mask, tmp_path / "series", tmp_path / "plain.dcm", NAMES)
    turned = np.flip(mask.numpy()[0].transpose(2, 0, 1), axis=(0, 2))
    back = np.zeros((4, 4))  # index of the turned mask to that of the mask
    back[[2, 0, 1, 3], [0, 1, 2, 3]] = -1, 1, -1, 1
    back[[2, 1], 3] = SHAPE[2] - 1, SHAPE[1] - 1
    other = MetaTensor(torch.from_numpy(turned.copy())[None], affine=mask.affine @ torch.from_numpy(back))
    write_dicom_seg(other, tmp_path / "series", tmp_path / "turned.dcm", NAMES)
    one, two = dcmread(tmp_path / "plain.dcm"), dcmread(tmp_path / "turned.dcm")
    assert one.PixelData == two.PixelData
    assert one.PerFrameFunctionalGroupsSequence == two.PerFrameFunctionalGroupsSequence


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 1, 4, 0, 2], [2]])
def test_frames_of_one_file(order: list[int], tmp_path: Path) -> None:
    files = series(tmp_path / "series", **OBLIQUE)
    path = write_enhanced(tmp_path / "enhanced.dcm", [files[k] for k in order])
    mask = some_mask(path)
    write_dicom_seg(mask, path, tmp_path / "seg.dcm", NAMES)
    assert np.array_equal(segmentation_by_pydicom(tmp_path / "seg.dcm", mask.affine, mask.shape[1:]), mask.numpy()[0])
    frames = highdicom.seg.segread(tmp_path / "seg.dcm").get_pixels_by_source_frame(
        dcmread(path).SOPInstanceUID, range(1, len(order) + 1), combine_segments=True,
        assert_missing_frames_are_empty=True,
    )  # fmt: skip
    assert np.array_equal(frames, mask.numpy()[0].transpose(2, 1, 0)[np.argsort(np.argsort(order))])


@pytest.mark.parametrize("thickness", [None, 3])
def test_a_single_slice(thickness: float | None, tmp_path: Path) -> None:
    (file,) = series(tmp_path / "series", (9, 7, 1), SliceThickness=thickness, **OBLIQUE)
    for path in (file, tmp_path / "series"):
        mask = some_mask(path)
        write_dicom_seg(mask, path, tmp_path / "seg.dcm", NAMES)
        assert np.array_equal(
            segmentation_by_pydicom(tmp_path / "seg.dcm", mask.affine, mask.shape[1:]), mask.numpy()[0]
        )
        assert np.array_equal(by_highdicom(tmp_path / "seg.dcm", [file]), mask.numpy()[0].transpose(2, 1, 0))


def test_segments_are_the_classes(tmp_path: Path) -> None:
    names = ["background", *(f"class {k}" for k in range(299)), "Niere rechts (肾)"]
    series(tmp_path / "series")
    mask = some_mask(tmp_path / "series", classes=3)
    mask = MetaTensor(torch.where(mask.as_tensor() == 2, 300, 0), affine=mask.affine)
    write_dicom_seg(mask, tmp_path / "series", tmp_path / "seg.dcm", names)
    file = dcmread(tmp_path / "seg.dcm")
    assert (file.SegmentationType, file.Modality) == ("BINARY", "SEG")
    assert [s.SegmentLabel for s in file.SegmentSequence] == names[1:]
    assert [s.SegmentNumber for s in file.SegmentSequence] == list(range(1, 301))
    for segment in file.SegmentSequence:
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("monai_dino", monai_dino.__version__)
        (category,), (kind,) = segment.SegmentedPropertyCategoryCodeSequence, segment.SegmentedPropertyTypeCodeSequence
        assert (category.CodeMeaning, kind.CodeMeaning) == ("Spatial and Relational Concept", "Image Region")
    assert set(np.unique(segmentation_by_pydicom(tmp_path / "seg.dcm", mask.affine, SHAPE))) == {0, 300}


@pytest.mark.parametrize("enhanced", [False, True])
def test_an_empty_mask_says_what_was_looked_for(
    enhanced: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = series(tmp_path / "series")
    path = write_enhanced(tmp_path / "enhanced.dcm", files) if enhanced else tmp_path / "series"
    mask = some_mask(path) * 0
    write_dicom_seg(mask, path, tmp_path / "seg.dcm", NAMES)
    file = dcmread(tmp_path / "seg.dcm")
    assert [s.SegmentLabel for s in file.SegmentSequence] == NAMES[1:]
    assert int(file.NumberOfFrames) == len(NAMES) - 1
    assert not any(file.PixelData)
    assert len(file.SourceImageSequence) == (1 if enhanced else len(files))
    assert not highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True).array.any()
    assert not caplog.records


PATIENT: dict[str, Any] = {
    "PatientName": "Müßig", "PatientID": "SECRET-7" * 9, "PatientBirthDate": "in spring", "PatientSex": "X",
    "StudyDate": "yesterday", "StudyTime": "noon", "AccessionNumber": "A" * 17, "StudyID": "é",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*")
def test_identity_is_that_of_the_series_and_is_not_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Whether or not its values are as DICOM wants them."""
    series(tmp_path / "series", SpecificCharacterSet="ISO_IR 100", **PATIENT)
    mask = some_mask(tmp_path / "series")
    recwarn.clear()
    caplog.clear()
    check_dicom_seg([{"case": "one", "image": tmp_path / "series"}], NAMES)
    write_dicom_seg(mask, tmp_path / "series", tmp_path / "seg.dcm", ["background", "肾", "b", "c"])
    assert not caplog.records
    assert not recwarn.list
    file = dcmread(tmp_path / "seg.dcm")
    assert {tag: str(file[tag].value) for tag in PATIENT} == PATIENT
    assert file.SegmentSequence[0].SegmentLabel == "肾"
    assert (file.StudyInstanceUID, file.FrameOfReferenceUID) == ("1.2.3", "1.2.3.5")
    assert file.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.4"


def test_what_the_series_leaves_out_is_empty(tmp_path: Path) -> None:
    series(tmp_path / "series", PatientID=None)
    write_dicom_seg(some_mask(tmp_path / "series"), tmp_path / "series", tmp_path / "seg.dcm", NAMES)
    file = dcmread(tmp_path / "seg.dcm")
    assert not any(file[tag].value for tag in PATIENT)


def test_each_file_is_an_instance_and_a_series_of_its_own(tmp_path: Path) -> None:
    series(tmp_path / "series")
    for name in ("a.dcm", "b.dcm"):
        write_dicom_seg(some_mask(tmp_path / "series"), tmp_path / "series", tmp_path / name, NAMES)
    a, b = dcmread(tmp_path / "a.dcm"), dcmread(tmp_path / "b.dcm")
    assert a.SOPInstanceUID != b.SOPInstanceUID
    assert len({a.SeriesInstanceUID, b.SeriesInstanceUID, "1.2.3.4"}) == 3


def test_instances_without_uid_are_known_by_that_of_their_file(tmp_path: Path) -> None:
    files = series(
        tmp_path / "series", StudyInstanceUID="", SeriesInstanceUID=None, SOPInstanceUID="", SOPClassUID=None
    )
    mask = some_mask(tmp_path / "series")
    for name in ("a.dcm", "b.dcm"):
        write_dicom_seg(mask, tmp_path / "series", tmp_path / name, NAMES)
    a, b = dcmread(tmp_path / "a.dcm"), dcmread(tmp_path / "b.dcm")
    assert a.StudyInstanceUID == b.StudyInstanceUID
    assert a.ReferencedSeriesSequence == b.ReferencedSeriesSequence
    assert np.array_equal(by_highdicom(tmp_path / "a.dcm", files), mask.numpy()[0].transpose(2, 1, 0))


def test_headers_that_are_a_little_off(tmp_path: Path) -> None:
    """Directions that differ in the last digits, a distance that the places contradict."""
    directions = [["1", "0", "0", "0", "1", f"{k}e-5"] for k in range(SHAPE[2])]
    series(tmp_path / "series", ImageOrientationPatient=directions, SpacingBetweenSlices=0.3)
    mask = some_mask(tmp_path / "series")
    write_dicom_seg(mask, tmp_path / "series", tmp_path / "seg.dcm", NAMES)
    for read in (segmentation_by_pydicom, segmentation_by_highdicom):
        assert np.array_equal(read(tmp_path / "seg.dcm", mask.affine, SHAPE), mask.numpy()[0])


def test_a_picture_without_geometry_is_refused(tmp_path: Path) -> None:
    (file,) = series(tmp_path / "series", (9, 7, 1), Modality="US", ImagePositionPatient=None)
    with pytest.raises(InputError, match=r"000\.dcm: does not state ImagePositionPatient, .* leave dicom_seg off"):
        write_dicom_seg(some_mask(file), file, tmp_path / "seg.dcm", NAMES)
    with pytest.raises(InputError, match=r"1 of 1 cases .*\n  scan: .*000\.dcm: does not state ImagePositionPatient"):
        check_dicom_seg([{"case": "scan", "image": str(tmp_path / "series")}], NAMES)


def test_what_highdicom_refuses_is_an_error_that_names_the_series(tmp_path: Path) -> None:
    series(tmp_path / "series", StudyInstanceUID=["1.1", "1.1", "1.2", "1.1", "1.1"])
    mask = some_mask(tmp_path / "series")
    with pytest.raises(InputError, match=r"series: highdicom cannot make .*ValueError: .*same series.*leave dicom_seg"):
        write_dicom_seg(mask, tmp_path / "series", tmp_path / "seg.dcm", NAMES)


@pytest.mark.parametrize("shift", [(0.3, 0, 0), (0, 0, 2.5), (0, 0, 1.25)])
def test_a_mask_on_another_grid_is_refused(shift: tuple[float, ...], tmp_path: Path) -> None:
    series(tmp_path / "series")
    mask = some_mask(tmp_path / "series")
    moved = mask.affine.clone()
    moved[:3, 3] += torch.tensor(shift)
    words = r"series: its mask of shape \(9, 7, 5\) does not lie on the 5 slices of 7 x 9 pixels; give it on the grid"
    with pytest.raises(InputError, match=words):
        write_dicom_seg(MetaTensor(mask.as_tensor(), affine=moved), tmp_path / "series", tmp_path / "seg.dcm", NAMES)
    for part in (mask.as_tensor()[..., :4], torch.cat([mask.as_tensor()] * 2, dim=-1)):
        with pytest.raises(InputError, match=r"does not lie on the 5 slices"):
            write_dicom_seg(
                MetaTensor(part, affine=mask.affine), tmp_path / "series", tmp_path / "seg.dcm", NAMES
            )  # fmt: skip
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m * 4, r"its mask: holds label values \[4, 8, 12\], but the declared classes are 0 to 3"),
        (lambda m: m * 0.5, r"its mask holds 0\.5, expected class numbers"),
        (lambda m: torch.cat([m, m]), r"its mask has the shape \(2, 9, 7, 5\), expected \(1, X, Y, Z\)"),
    ],
)
def test_what_is_no_mask_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    series(tmp_path / "series")
    mask = some_mask(tmp_path / "series")
    other = MetaTensor(change(mask.as_tensor()), affine=mask.affine)
    with pytest.raises(InputError, match=words):
        write_dicom_seg(other, tmp_path / "series", tmp_path / "seg.dcm", NAMES)


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\\b", "a\nb"])
def test_names_that_dicom_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"class_names: .* cannot name a DICOM segment.*give others"):
        check_dicom_seg([], ["background", name])


def test_a_background_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no class besides the background"):
        check_dicom_seg([], ["background"])


def test_every_case_that_is_not_dicom_is_named(tmp_path: Path, write_nifti: Any) -> None:
    series(tmp_path / "series")
    nifti = [write_nifti(f"{k}.nii.gz", np.zeros((3, 3, 3), np.float32)) for k in range(12)]
    (tmp_path / "empty").mkdir()
    cases = [{"case": f"case{k}", "image": [str(path)]} for k, path in enumerate(nifti)]
    good = {"case": "good", "image": str(tmp_path / "series")}
    with pytest.raises(InputError) as error:
        check_dicom_seg([good, *cases], NAMES)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("dicom_seg: 12 of 13 cases cannot get a DICOM segmentation; take them out, or leave")
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == [f"case{k}" for k in range(10)]
    assert "0.nii.gz: is not DICOM" in lines[1]
    assert lines[-1] == "  and 2 more"
    with pytest.raises(InputError, match="empty: holds no DICOM images"):
        check_dicom_seg([{"case": "e", "image": tmp_path / "empty"}], NAMES)
    check_dicom_seg([good], NAMES)


def test_an_interruption_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series(tmp_path / "series")
    mask, path = some_mask(tmp_path / "series"), tmp_path / "out" / "seg.dcm"
    path.parent.mkdir()
    path.write_bytes(b"the one before")

    def half(self: Any, target: Path, **options: Any) -> None:
        target.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(highdicom.seg.Segmentation, "save_as", half)
    with pytest.raises(OSError, match="no space left"):
        write_dicom_seg(mask, tmp_path / "series", path, NAMES)
    assert [p.read_bytes() for p in path.parent.iterdir()] == [b"the one before"]


def test_without_highdicom_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ConfigurationError, match=r"not installed; run: pip install 'monai-dino\[dicom\]'"):
        check_dicom_seg([], NAMES)


def test_highdicom_is_imported_when_it_is_needed() -> None:
    code = "import sys, monai_dino.data, monai_dino.handlers; print('highdicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_organs_of_a_ct(real_data: Path, tmp_path: Path) -> None:
    """Their file has its y axis flipped against the series, whose UIDs were removed."""
    folder = real_data / "abdomen_ct"
    mask = read_volume(folder / "dicom_series_organs.nii.gz")
    names = ["background", *(f"organ {k}" for k in range(1, int(mask.max()) + 1))]
    write_dicom_seg(mask, folder / "dicom_series", tmp_path / "seg.dcm", names)
    labels = mask.numpy()[0]
    assert np.array_equal(segmentation_by_pydicom(tmp_path / "seg.dcm", mask.affine, labels.shape), labels)
    assert np.array_equal(segmentation_by_highdicom(tmp_path / "seg.dcm", mask.affine, labels.shape), labels)
    files = sorted((folder / "dicom_series").iterdir(), key=lambda f: dcmread(f).ImagePositionPatient[2])
    down = labels[:, ::-1] if mask.affine[1, 1] > 0 else labels  # rows run to the back, RAS to the front
    down = down[::-1] if mask.affine[0, 0] > 0 else down
    assert np.array_equal(by_highdicom(tmp_path / "seg.dcm", files), down.transpose(2, 1, 0))
