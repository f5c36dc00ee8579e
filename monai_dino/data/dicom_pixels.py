# SPDX-License-Identifier: Apache-2.0
"""The values of a DICOM file's pixels: decoded, in colour as RGB, in units of the modality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_dino.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["check_units", "read_frames", "read_header", "rescale"]

_NO_IMAGES = {
    "SEG": "a DICOM segmentation; convert it to NIfTI to use it as a mask",
    "RTDOSE": "a dose grid, whose values are no intensities",
    **dict.fromkeys(("RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "ECG", "REG"), "no image"),
}
# pydicom's decoder for each transfer syntax that it reads with what is always installed; others are left to ITK (GDCM).
_PLUGINS = {
    "1.2.840.10008.1.2": "", "1.2.840.10008.1.2.1": "", "1.2.840.10008.1.2.1.99": "", "1.2.840.10008.1.2.2": "",
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG Baseline
    "1.2.840.10008.1.2.4.90": "pillow",  # JPEG 2000, lossless
    "1.2.840.10008.1.2.4.91": "pillow",
}  # fmt: skip
_LOSSLESS = {"1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"}


def read_header(path: Path, pixels: bool = False) -> Dataset:
    """Reads the attributes of an image.

    Args:
        path: a DICOM file.
        pixels: whether to read its pixel data too.

    Returns:
        The attributes.

    Raises:
        InputError: when it cannot be parsed, or is no image.
    """
    from pydicom import dcmread

    try:
        header = dcmread(path, stop_before_pixels=not pixels)
        kind, syntax = str(header.get("Modality") or ""), header.file_meta.get("TransferSyntaxUID")
    except Exception as error:  # parsers raise whatever they do
        raise InputError(f"{path}: not a readable DICOM file ({error}); copy it again, or take it out") from error
    if kind in _NO_IMAGES:
        raise InputError(f"{path}: is {_NO_IMAGES[kind]}; take it out")
    if "Rows" not in header or "Columns" not in header:
        raise InputError(f"{path}: holds no image, or its header is cut short; take it out, or copy it again")
    if syntax is None:
        raise InputError(
            f"{path}: does not state its transfer syntax, so its pixels cannot be decoded; export it again"
        )
    return header


def read_frames(path: Path, header: Dataset | None = None, stored: bool = False) -> np.ndarray:
    """Reads the pixels of an image.

    MONOCHROME1 is inverted, so that bright is high; YBR and palettes become RGB; unused bits are ignored; slope and
    intercept are applied, in integers where they are whole numbers.

    Args:
        path: a DICOM file.
        header: its attributes with the pixel data, if they were read already.
        stored: whether slope and intercept are left to the caller, since each frame states its own.

    Returns:
        Shape (frames, rows, columns), or (frames, rows, columns, 3) for colour.

    Raises:
        InputError: when pixels are missing or cannot be decoded, or their units are not stated.
    """
    header = read_header(path, pixels=True) if header is None else header
    if not stored:
        check_units(path, header)
    syntax = header.file_meta.TransferSyntaxUID
    try:
        if syntax in _PLUGINS:
            values = _by_pydicom(path, header, stored)
        elif stored:
            raise InputError(
                f"{path}: frames with units of their own in {syntax.name}, which is decoded by a reader that applies "
                f"units by itself; convert it to an uncompressed file"
            )
        else:
            values = _by_itk(path)
    except InputError:
        raise
    except Exception as error:  # decoders raise whatever they do
        raise InputError(
            f"{path}: its pixels cannot be decoded, they may be cut short or damaged ({syntax.name}: {error}); copy it "
            f"again, or convert it to an uncompressed file"
        ) from error
    frames = int(header.get("NumberOfFrames") or 1)
    samples = int(header.get("SamplesPerPixel", 1))
    colour = samples == 3 or header.PhotometricInterpretation == "PALETTE COLOR"
    return values.reshape(frames, header.Rows, header.Columns, *([3] if colour else []))


def check_units(path: Path, header: Any) -> None:
    """Checks that the units of an image are known.

    Args:
        path: what an error calls it.
        header: attributes of the file, or of a frame.

    Raises:
        InputError: when a CT lacks slope or intercept, or a lookup table takes their place.
    """
    if header.get("Modality") == "CT" and ("RescaleSlope" not in header or "RescaleIntercept" not in header):
        raise InputError(
            f"{path}: a CT without rescale slope and intercept, so its HU are not known; export it again, or state them"
        )
    if "ModalityLUTSequence" in header:
        raise InputError(f"{path}: its values are given by a modality lookup table; convert it to NIfTI")


def _by_pydicom(path: Path, header: Dataset, as_stored: bool) -> np.ndarray:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    syntax = header.file_meta.TransferSyntaxUID
    try:
        stored = pixel_array(header, decoding_plugin=_PLUGINS[syntax])
    except Exception:
        if syntax in _LOSSLESS and not as_stored:  # whoever decodes it, the voxels are the same
            return _by_itk(path)
        raise
    if header.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(stored, header)
        return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours
    if int(header.get("SamplesPerPixel", 1)) > 1:
        return stored
    stored = _used_bits(path, stored, header)
    if header.PhotometricInterpretation == "MONOCHROME1":
        highest = -1 if stored.dtype.kind == "i" else 2 ** int(header.BitsStored) - 1
        stored = (highest - stored.astype(np.int64)).astype(np.int64 if stored.itemsize > 2 else np.int32)
    return stored if as_stored else rescale(stored, header)


def _used_bits(path: Path, stored: np.ndarray, header: Dataset) -> np.ndarray:
    """Without what old files keep in bits beyond those that are stored, such as overlays; with the sign at its bit."""
    allocated, used = int(header.BitsAllocated), int(header.BitsStored)
    if stored.dtype.kind == "f" or used == allocated or allocated == 1:
        return stored
    if int(header.HighBit) != used - 1:
        raise InputError(f"{path}: its {used} bits do not begin at the lowest (HighBit {header.HighBit}); convert it")
    shift = stored.dtype.itemsize * 8 - used
    shifted: np.ndarray = np.right_shift(np.left_shift(stored, shift), shift)
    return shifted


def rescale(stored: np.ndarray, header: Any) -> np.ndarray:
    """Applies slope and intercept, where they are stated.

    Args:
        stored: stored values.
        header: attributes of the file, or of the frame.

    Returns:
        Stored values as they are; int32 (int64 for 32-bit values) for whole slope and intercept; else float32.
    """
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    if (slope, intercept) == (1, 0):
        return stored
    if slope.is_integer() and intercept.is_integer() and stored.dtype.kind != "f":
        wide = stored.astype(np.int64) * int(slope) + int(intercept)
        fits = stored.itemsize <= 2 and abs(slope) < 2**14 and abs(intercept) < 2**30
        return wide.astype(np.int32) if fits else wide
    return (stored * slope + intercept).astype(np.float32)


def _by_itk(path: Path) -> np.ndarray:
    import itk

    return np.asarray(itk.array_from_image(itk.imread(str(path))))  # GDCM rescales and inverts by itself
