# SPDX-License-Identifier: Apache-2.0
"""Small data sets on disk whose geometry and labels are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

AFFINE = np.diag([-1.0, 1.0, 2.0, 1.0])


def write_volume(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Writes an array as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def ball_volume(rng: np.random.Generator, shape: tuple[int, int, int] = (24, 30, 6)) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright ball, and the ball."""
    centre = rng.uniform(8, 16, size=2)
    x, y, z = np.indices(shape)
    ball = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + 4 * (z - 3) ** 2) < 36
    image = rng.normal(100, 10, shape) + 100 * ball
    return image.astype(np.float32), ball.astype(np.uint8)


def write_balls(root: Path, halves: bool = False) -> Path:
    """Six small volumes with a bright ball to segment, and a datalist of two folds and a test set.

    With ``halves`` the upper half of the ball is a class of its own, which one case of the first fold lacks.
    """
    rng = np.random.default_rng(0)
    items = []
    for index in range(6):
        image, label = ball_volume(rng)
        if halves and index != 2:
            label[:, 12:] *= 2
        write_volume(root / "images" / f"case{index}.nii.gz", image)
        write_volume(root / "labels" / f"case{index}.nii.gz", label)
        name = f"case{index}.nii.gz"
        items.append({"image": f"images/{name}", "label": f"labels/{name}", "patient": f"p{index}", "fold": index % 2})
    names = ("background", "lower", "upper") if halves else ("background", "ball")
    write_datalist(root, names, items[:4], items[4:])
    return root


def write_stripes(root: Path, pictures: bool = False) -> Path:
    """Twelve volumes, or pictures, with stripes along one axis or the other: the class, in a datalist with two folds.

    The four of the test set belong to two patients.
    """
    from PIL import Image

    rng = np.random.default_rng(1)
    items: list[dict[str, Any]] = []
    for index in range(12):
        shape = (28, 24, 1 if pictures else 5)
        across = np.indices(shape)[index % 2]
        image = 100 + 60 * np.sin(across * rng.uniform(1.0, 1.4)) + rng.normal(0, 10, shape)
        path = root / f"case{index}{'.png' if pictures else '.nii.gz'}"
        if pictures:
            root.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0].T.clip(0, 255).astype(np.uint8)).save(path)
        else:
            write_volume(path, image.astype(np.float32))
        patient = f"p{index}" if index < 8 else f"p{8 + index % 4 // 2}"
        items.append({"image": path.name, "label": index % 2, "patient": patient, "fold": index // 2 % 2})
    write_datalist(root, ("along", "across"), items[:8], items[8:])
    return root


def write_datalist(root: Path, names: tuple[str, ...], training: list[Any], testing: list[Any]) -> Path:
    """Writes a datalist, without folds in the test set."""
    testing = [{k: v for k, v in item.items() if k != "fold"} for item in testing]
    labels = {str(k): name for k, name in enumerate(names)}
    content = {"modality": {"0": "MR"}, "labels": labels, "training": training, "testing": testing}
    path = root / "datalist.json"
    path.write_text(json.dumps(content))
    return path


def write_dicom_series(folder: Path, volume: np.ndarray, affine: np.ndarray) -> Path:
    """Writes a volume of whole numbers as a CT series, a file per slice of the last axis.

    The names of the files do not follow the order of the slices.

    Args:
        folder: the folder to make.
        volume: shape (X, Y, Z); X runs along the columns of the pictures, Y along their rows.
        affine: voxel indices to RAS millimetres, without shear.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for k in range(volume.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"IM{(k * 7) % 97:04d}.dcm"
        file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        file.SeriesInstanceUID, file.StudyInstanceUID, file.FrameOfReferenceUID = series, study, frame
        file.Modality, file.PatientID, file.PatientName, file.InstanceNumber = "CT", "one", "One", k + 1
        file.ImagePositionPatient = [f"{v:.8g}" for v in lps[:3, 3] + k * lps[:3, 2]]
        file.ImageOrientationPatient = [f"{v:.8g}" for v in (*directions[:, 0], *directions[:, 1])]
        file.PixelSpacing = [f"{v:.8g}" for v in (spacing[1], spacing[0])]
        file.SliceThickness = f"{spacing[2]:.8g}"
        file.Rows, file.Columns = volume.shape[1], volume.shape[0]
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
        file.RescaleSlope, file.RescaleIntercept = 1, -1024
        file.PixelData = (volume[:, :, k].T + 1024).astype("<u2").tobytes()
        file.save_as(path, enforce_file_format=True)
    return folder


BLOCK = (slice(2, 8),) * 3
SPECK = (slice(10, 11),) * 3


def box_labels(*boxes: tuple[tuple[slice, ...], int], shape: tuple[int, ...] = (12, 12, 12)) -> torch.Tensor:
    """A mask of boxes, each with its class, the later ones over the earlier."""
    labels = torch.zeros(shape, dtype=torch.uint8)
    for box, k in boxes:
        labels[box] = k
    return labels
