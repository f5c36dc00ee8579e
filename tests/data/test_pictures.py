# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from monai_dino.data.pictures import read_picture
from monai_dino.data.reading import read_volume
from monai_dino.errors import InputError

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif"])
def test_columns_come_first(name: str, tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / name)
    assert np.array_equal(read_picture(tmp_path / name), GREY.T)
    Image.fromarray(COLOUR).save(tmp_path / name)
    assert np.array_equal(read_picture(tmp_path / name), COLOUR.transpose(1, 0, 2))


def with_note(path: Path) -> bytes:
    """A PNG with a text chunk, which no decoder needs."""
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "nothing that matters")
    Image.fromarray(GREY).save(path, pnginfo=note)
    return path.read_bytes()


def test_every_checksum_of_a_png_counts(tmp_path: Path) -> None:
    """That of a chunk which no decoder needs too: where one byte was changed, others may have been."""
    path = tmp_path / "x.png"
    data = with_note(path)
    place = data.index(b"nothing")
    path.write_bytes(data[:place] + b"m" + data[place + 1 :])
    with pytest.raises(InputError, match=r"x\.png: cannot be read, it may be truncated or damaged"):
        read_volume(path)
    # The same change with the checksum that belongs to it is another, whole picture.
    start = data.index(b"tEXt")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    chunk = (data[:place] + b"m" + data[place + 1 :])[start : start + 4 + length]
    whole = data[:start] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[start + 8 + length :]
    path.write_bytes(whole)
    assert np.array_equal(read_picture(path), GREY.T)
