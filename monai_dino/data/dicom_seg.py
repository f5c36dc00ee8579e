# SPDX-License-Identifier: Apache-2.0
"""Predicted masks as DICOM segmentations of the series that they were predicted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

import monai_dino
from monai_dino.data.checks import check_classes
from monai_dino.data.dicom_source import DicomSource, check_source, on_slices, read_source
from monai_dino.data.sources import paths_of
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.files import written_whole

__all__ = ["check_dicom_seg", "write_dicom_seg"]

_SHOWN = 10
_LABEL_LENGTH = 64  # of DICOM's LO
_SERIES_NUMBER = 1000
# highdicom logs unusual names and refuses unusual values, so these are copied here, as they are.
_VERBATIM = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip


def check_dicom_seg(cases: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> None:
    """Checks, before anything is predicted, that every case can get a DICOM segmentation.

    Args:
        cases: items with ``case`` and ``image``, as :func:`find_cases` returns them; of each series one file is read.
        class_names: names of the classes, the background first.

    Raises:
        ConfigurationError: when highdicom is not installed, or a class has a name that DICOM cannot hold.
        InputError: when cases are not DICOM, or do not state where they lie in the patient; it names them.
    """
    _import_highdicom()
    _check_names(class_names)
    reasons = []
    for item in cases:
        try:
            check_source(paths_of(item["image"])[0])
        except InputError as error:
            reasons.append(f"{item['case']}: {error}")
    if reasons:
        more = f"\n  and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        raise InputError(
            f"dicom_seg: {len(reasons)} of {len(cases)} cases cannot get a DICOM segmentation; take them out, or leave "
            f"dicom_seg off:\n  " + "\n  ".join(reasons[:_SHOWN]) + more
        )


def write_dicom_seg(mask: MetaTensor, series: str | Path, path: str | Path, class_names: Sequence[str]) -> None:
    """Writes a mask as a DICOM segmentation (SEG) of its series, whole or not at all.

    There is one binary segment for each class but the background, named as the class, also for a class that the mask
    lacks. Frames without a voxel are left out; where the mask is empty, each segment has one empty frame, so that the
    file still says what was looked for. Each frame refers to the slice that it lies on, whose geometry is copied.

    The file holds the identity of the patient, the study and the scanner just as the series does. Text is in UTF-8.

    Args:
        mask: class numbers, shape (1, X, Y, Z), on the grid of the series as :func:`read_volume` reads it, in any order
            and direction of the axes.
        series: folder of the DICOM series, or a DICOM file of one or several slices.
        path: file to write, ending in ``.dcm``; its folder is made.
        class_names: names of the classes, the background first.

    Raises:
        ConfigurationError: when highdicom is not installed, or a class has a name that DICOM cannot hold.
        InputError: when the series is not DICOM, does not state where it lies in the patient or lacks other attributes;
            when the mask lies on another grid, or holds what is no class.
    """
    highdicom = _import_highdicom()
    _check_names(class_names)
    from pydicom.config import disable_value_validation

    source = read_source(series)
    labels = _labels(mask, len(class_names), str(series))
    slices = on_slices(labels, np.asarray(mask.affine, dtype=float), source, f"{series}: its mask")
    with disable_value_validation():
        try:
            segmentation = _segmentation(highdicom, source, slices, _segments(highdicom, class_names))
        except Exception as error:  # highdicom raises whatever it misses
            raise InputError(
                f"{series}: highdicom cannot make a DICOM segmentation of it ({type(error).__name__}: {error}); export "
                f"the series again, or leave dicom_seg off"
            ) from error
        with written_whole(path) as partial:
            segmentation.save_as(partial, enforce_file_format=True)


def _import_highdicom() -> Any:
    try:
        import highdicom
        import highdicom.seg
    except ImportError:
        raise ConfigurationError(
            "dicom_seg: DICOM segmentations are written by highdicom, which is not installed; run: "
            "pip install 'monai-dino[dicom]'"
        ) from None
    return highdicom


def _check_names(class_names: Sequence[str]) -> None:
    for name in class_names[1:]:
        if not name.strip() or len(name) > _LABEL_LENGTH or "\\" in name or not name.isprintable():
            raise ConfigurationError(
                f"class_names: {name!r} cannot name a DICOM segment, which takes 1 to {_LABEL_LENGTH} printable "
                f"characters without a backslash; give others, or leave dicom_seg off"
            )
    if len(class_names) < 2:
        raise ConfigurationError(f"class_names: {list(class_names)} has no class besides the background")


def _labels(mask: MetaTensor, classes: int, name: str) -> np.ndarray:
    array = np.asarray(mask.as_subclass(torch.Tensor).cpu())
    if array.ndim != 4 or array.shape[0] != 1:
        raise InputError(f"{name}: its mask has the shape {array.shape}, expected (1, X, Y, Z)")
    values = np.unique(array)
    if (fractions := values[values != np.rint(values)]).size:
        raise InputError(f"{name}: its mask holds {fractions[0]:g}, expected class numbers; give labels")
    check_classes([int(v) for v in values], classes, f"{name}: its mask")
    labels: np.ndarray = array[0].astype(np.uint8 if classes <= 256 else np.uint16)
    return labels


def _segments(highdicom: Any, class_names: Sequence[str]) -> list[Any]:
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="monai_dino", family=codes.cid7162.ArtificialIntelligence, version=monai_dino.__version__
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            # A class may be anything, an organ, a lesion or a device; its name says which.
            segmented_property_category=codes.cid7150.SpatialAndRelationalConcept,
            segmented_property_type=codes.DCM.ImageRegion,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(class_names[1:], start=1)
    ]


def _segmentation(highdicom: Any, source: DicomSource, slices: np.ndarray, segments: list[Any]) -> Any:
    first = source.headers[0]
    verbatim = [first[tag] for tag in _VERBATIM if tag in first]
    for element in verbatim:
        del first[element.tag]
    for tag in _VERBATIM:
        setattr(first, tag, "")
    where: dict[str, Any] = {}
    if not slices.any():
        position = source.affines[0][:3, 3] * (-1, -1, 1)  # RAS to LPS
        where["plane_positions"] = [highdicom.PlanePositionSequence("PATIENT", position)]
        where["omit_empty_frames"] = False
        slices = slices[:1]
    segmentation = highdicom.seg.Segmentation(
        source_images=source.headers,
        pixel_array=slices,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER,
        series_description="monai_dino segmentation",
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="monai_dino",
        manufacturer_model_name="monai_dino",
        software_versions=monai_dino.__version__,
        device_serial_number="none",
        content_label="SEGMENTATION",
        specific_character_set="ISO_IR 192",
        **where,
    )
    for element in verbatim:
        segmentation.add(element)
    return segmentation
