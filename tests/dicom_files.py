# SPDX-License-Identifier: Apache-2.0
"""Small DICOM series on disk, and where their voxels lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING = (0.7, 0.9)  # along a row, along a column
OBLIQUE = {  # neither parallel to an axis of the patient
    "row": (np.cos(0.4), np.sin(0.4), 0.0),
    "column": (-np.sin(0.4) * np.cos(0.3), np.cos(0.4) * np.cos(0.3), np.sin(0.3)),
    "origin": (-10.0, 20.0, 30.0),
}


def series_affine(
    row: Sequence[float] = (1, 0, 0),
    column: Sequence[float] = (0, 1, 0),
    origin: Sequence[float] = (0, 0, 0),
    step: Sequence[float] | None = None,
) -> np.ndarray:
    """Where voxel (x, y, k) of a series lies, in RAS millimetres, as the DICOM standard states it (C.7.6.2.1.1)."""
    step = np.cross(row, column) * 2.5 if step is None else step
    lps = np.array([np.multiply(row, SPACING[0]), np.multiply(column, SPACING[1]), step, origin]).T
    return np.vstack([np.diag([-1, -1, 1]) @ lps, [0, 0, 0, 1]])


def write_series(
    folder: Path,
    voxels: np.ndarray,
    row: Sequence[float] = (1, 0, 0),
    column: Sequence[float] = (0, 1, 0),
    origin: Sequence[float] = (0, 0, 0),
    step: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    **tags: Any,
) -> list[Path]:
    """Writes 16-bit voxels (X, Y, Z) as one file per slice.

    Args:
        folder: where; it is made.
        voxels: stored values.
        row: direction along a row, in LPS.
        column: direction along a column.
        origin: place of the first voxel.
        step: way from slice to slice; along the normal, 2.5 mm, by default.
        names: file names.
        tags: further DICOM attributes; a list has one value for each slice; None leaves the attribute out.

    Returns:
        The files, in the order of the slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    step = np.cross(row, column) * 2.5 if step is None else step
    paths = []
    for k in range(voxels.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        attributes = {
            "SOPClassUID": meta.MediaStorageSOPClassUID,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.3.4",
            "FrameOfReferenceUID": "1.2.3.5",
            "Modality": "CT",
            "PatientID": "SECRET-7",
            "InstanceNumber": k + 1,
            "ImagePositionPatient": [f"{v:.9g}" for v in np.add(origin, np.multiply(step, k))],
            "ImageOrientationPatient": [f"{v:.9g}" for v in (*row, *column)],
            "PixelSpacing": [SPACING[1], SPACING[0]],  # DICOM has the distance between rows first
            "Rows": voxels.shape[1],
            "Columns": voxels.shape[0],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": int(voxels.dtype.kind == "i"),
            "RescaleSlope": 1,
            "RescaleIntercept": 0,
            "PixelData": voxels[:, :, k].T.tobytes(),
        }
        for name, value in (attributes | tags).items():
            value = value[k] if isinstance(tags.get(name), list) else value
            if value is not None:
                setattr(file, name, value)
        paths.append(folder / (names[k] if names else f"{k:03d}.dcm"))
        file.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_enhanced(path: Path, files: Sequence[Path], slope: float = 1, intercept: float = 0) -> Path:
    """Writes an enhanced CT whose frames are the slices of a series.

    Args:
        path: the file.
        files: those of the series, in the order of the frames.
        slope: rescale slope of every frame.
        intercept: rescale intercept of every frame.

    Returns:
        The path.
    """
    headers = [dcmread(file) for file in files]
    image = dcmread(files[0])
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    image.NumberOfFrames = len(files)
    image.PixelData = np.stack([h.pixel_array for h in headers]).tobytes()
    shared, measures, units = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = headers[0].PixelSpacing, 2.5
    units.RescaleSlope, units.RescaleIntercept = slope, intercept
    shared.PixelMeasuresSequence, shared.PixelValueTransformationSequence = [measures], [units]
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for header in headers:
        frame, place, direction = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = header.ImagePositionPatient
        direction.ImageOrientationPatient = header.ImageOrientationPatient
        frame.PlanePositionSequence, frame.PlaneOrientationSequence = [place], [direction]
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(image, tag)
    image.save_as(path)
    return path


def segmentation_by_pydicom(path: Path, affine: Any, shape: Sequence[int]) -> np.ndarray:
    """Reads a segmentation from its bits and the places of its frames alone, onto a grid in RAS millimetres."""
    file = dcmread(path)
    count, rows, columns = int(file.NumberOfFrames), file.Rows, file.Columns
    bits = np.unpackbits(np.frombuffer(file.PixelData, np.uint8), bitorder="little")[: count * rows * columns]
    shared = file.SharedFunctionalGroupsSequence[0]
    along_row, along_column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3))
    between_rows, between_columns = shared.PixelMeasuresSequence[0].PixelSpacing
    labels = np.zeros(shape, int)
    groups = file.PerFrameFunctionalGroupsSequence
    for group, frame in zip(groups, bits.reshape(count, rows, columns), strict=True):
        segment = (group if "SegmentIdentificationSequence" in group else shared).SegmentIdentificationSequence[0]
        row, column = np.nonzero(frame)
        lps = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)[:, None]
        lps = lps + np.outer(along_row, column * between_columns) + np.outer(along_column, row * between_rows)
        ras = np.vstack([-lps[:2], lps[2:], np.ones(len(row))])
        exact = np.linalg.solve(np.asarray(affine), ras)[:3]
        index = np.rint(exact).astype(int)
        np.testing.assert_allclose(exact, index, atol=0.01)
        assert index.min(initial=0) >= 0
        assert not labels[tuple(index)].any()  # no voxel twice
        labels[tuple(index)] = segment.ReferencedSegmentNumber
    return labels


def segmentation_by_highdicom(path: Path, affine: Any, shape: Sequence[int]) -> np.ndarray:
    """The class numbers on a grid in RAS millimetres, through the affine that highdicom gives them."""
    import highdicom.seg

    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    labels = np.zeros(shape, int)
    index = np.argwhere(volume.array)
    ras = np.diag([-1, -1, 1, 1]) @ volume.affine @ np.c_[index, np.ones(len(index))].T
    found = np.rint(np.linalg.solve(np.asarray(affine), ras)[:3]).astype(int)
    assert found.min(initial=0) >= 0
    labels[tuple(found)] = volume.array[tuple(index.T)]
    return labels
