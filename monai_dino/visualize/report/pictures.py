# SPDX-License-Identifier: Apache-2.0
"""Pictures inside the page, within a limit of its size."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_dino.errors import InputError

__all__ = ["PictureBudget"]

_WIDEST = 1600  # pixels


class PictureBudget:
    """Turns pictures into data URIs until they have taken a number of bytes.

    Args:
        limit: bytes of all pictures together, as they are in the page.

    Attributes:
        left_out: pictures that did not fit.
    """

    def __init__(self, limit: int = 12_000_000) -> None:
        self.limit = limit
        self.spent = 0
        self.left_out = 0

    def array(self, picture: np.ndarray) -> str | None:
        """A picture from memory.

        Args:
            picture: uint8, shape (H, W) or (H, W, 3).

        Returns:
            A data URI; ``None`` when the limit is reached.
        """
        return self._encode(Image.fromarray(picture), {"quality": 82})

    def file(self, path: Path) -> tuple[str | None, tuple[int, int]]:
        """A picture from a file, made smaller where it is wider than 1600 pixels.

        Args:
            path: PNG, JPEG or WebP.

        Returns:
            A data URI, ``None`` when the limit is reached; width and height.

        Raises:
            InputError: when the file cannot be read as a picture.
        """
        try:
            with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{path.name}: cannot be read as a picture ({error}); write it again") from None
        if picture.width > _WIDEST:
            height = max(round(picture.height * _WIDEST / picture.width), 1)
            picture = picture.resize((_WIDEST, height), Image.Resampling.LANCZOS)
        return self._encode(picture, {"quality": 85}), picture.size

    def _encode(self, picture: Image.Image, options: Mapping[str, Any]) -> str | None:
        stream = io.BytesIO()
        picture.save(stream, "WEBP", method=4, **options)
        uri = f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
        if self.spent + len(uri) > self.limit:
            self.left_out += 1
            return None
        self.spent += len(uri)
        return uri
