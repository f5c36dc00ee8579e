# SPDX-License-Identifier: Apache-2.0
"""PNG, JPEG, TIFF and BMP pictures as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import PILReader
from PIL import Image

from monai_dino.errors import InputError

__all__ = ["PICTURE_AFFINE", "read_picture"]

PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Pixels of size 1 whose axes run to the left and to the back, as ITK reads pictures."""

_EXIF_ORIENTATION = 0x0112
_MODES = ("1", "L", "I;16", "I", "F", "RGB", "P")


def read_picture(path: Path) -> np.ndarray:
    """Reads a picture.

    Args:
        path: the file.

    Returns:
        Shape (columns, rows), or (columns, rows, 3) for a colour picture.

    Raises:
        InputError: when it has several pages, is to be turned according to its EXIF data, or has a colour mode or
            transparency that would be lost.
        SyntaxError: as Pillow, when a checksum of a PNG does not hold.
    """
    if path.suffix.lower() == ".png":
        with Image.open(path) as image:
            image.verify()  # all checksums to the end of the file; what is decoded below is checked in part
    reader = PILReader(converter=lambda image: _plain(path, image))
    return np.asarray(reader.get_data(reader.read(str(path)))[0])


def _plain(path: Path, image: Any) -> Any:
    if (pages := getattr(image, "n_frames", 1)) > 1:
        raise InputError(f"{path}: a picture of {pages} pages; save each as a file of its own, or the stack as NIfTI")
    if (turned := image.getexif().get(_EXIF_ORIENTATION, 1)) > 1:
        raise InputError(f"{path}: its EXIF data say that it is to be turned (orientation {turned}); save it upright")
    if image.mode == "RGBA" and image.getextrema()[3] == (255, 255):
        image = image.convert("RGB")  # fully opaque, so nothing is lost
    if image.mode == "LA" and image.getextrema()[1] == (255, 255):
        image = image.convert("L")
    if image.mode not in _MODES:
        raise InputError(f"{path}: a picture of mode {image.mode}; save it as 8- or 16-bit grey, or as RGB")
    return image.convert("RGB") if image.mode == "P" else image
