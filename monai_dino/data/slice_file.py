# SPDX-License-Identifier: Apache-2.0
"""The file format of the slice store: compressed arrays, each with a checksum, and an index that vouches for them.

A file is a row of blosc2 chunks, then an index (JSON, deflated), then a trailer (a mark, the index's size and SHA-256).
The index has the place, size and CRC-32 of each chunk, so that nothing reaches the decompressor that was not written:
formats of whole arrays check neither chunks nor their own headers, or take five times as long to read one slice (see
``benchmarks/results/slice_store.md``).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import blosc2
import numpy as np

from monai_dino.errors import InputError

__all__ = ["SliceFile", "SliceFileWriter"]

_MARK = b"monai_dino:slices"
_TRAILER = struct.Struct(f"<{len(_MARK)}sQ32s")
_OPEN_FILES = 256  # systems allow 1024 by default
_REMEDY = "delete it, and it is built again"

# LZ4HC with byte shuffling is read three times as fast as zstd and is still smaller than the .nii.gz; level 5 costs
# about as much time as gunzip does, 9 thrice that for 3 % less.
_COMPRESSION: dict[str, Any] = {
    "codec": blosc2.Codec.LZ4HC, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1,
}  # fmt: skip

Chunk = tuple[int, int, int]
"""Place, size and CRC-32 of a chunk."""


class SliceFileWriter:
    """Writes a slice file to a stream, array by array.

    Args:
        stream: a binary stream at its beginning.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    def add(self, array: np.ndarray) -> Chunk:
        """Compresses and appends an array.

        Args:
            array: any shape, C-contiguous, not empty.

        Returns:
            What the index needs, to find it again.
        """
        data = blosc2.compress2(np.ascontiguousarray(array), typesize=array.itemsize, **_COMPRESSION)
        place = self.stream.tell()
        self.stream.write(data)
        return place, len(data), zlib.crc32(data)

    def finish(self, header: Mapping[str, Any]) -> None:
        """Appends index and trailer.

        Args:
            header: what JSON can hold.
        """
        index = zlib.compress(json.dumps({**header, "end": self.stream.tell()}).encode())
        self.stream.write(index + _TRAILER.pack(_MARK, len(index), hashlib.sha256(index).digest()))


class SliceFile:
    """A slice file for reading, from any number of threads and processes.

    Args:
        path: the file.

    Attributes:
        header: what was given to :meth:`SliceFileWriter.finish`.

    Raises:
        InputError: when it is no slice file, or its index is damaged or cut short; chunks are checked when they are
            read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            with open(path, "rb") as stream:
                index = _read_index(stream)
                self._inode = os.fstat(stream.fileno()).st_ino
        except (OSError, struct.error, ValueError) as error:
            raise InputError(f"{path}: not a whole slice file ({error}); {_REMEDY}") from None
        self.header: dict[str, Any] = json.loads(zlib.decompress(index))

    def read(self, chunk: Sequence[int], shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """Reads an array.

        Args:
            chunk: what :meth:`SliceFileWriter.add` returned.
            shape: its shape.
            dtype: its type.

        Returns:
            A new array.

        Raises:
            InputError: when its bytes are not those that were written.
        """
        place, size, checksum = chunk
        try:
            stream = _open(self.path, self._inode)  # held, since another thread may push it out of the cache
            data = os.pread(stream.fileno(), size, place)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error})") from error
        if len(data) != size or zlib.crc32(data) != checksum:
            raise InputError(
                f"{self.path}: is damaged at byte {place} (or was stored again since it was opened: then start again); "
                f"{_REMEDY}"
            )
        array = np.empty(shape, dtype)
        blosc2.decompress2(data, dst=array, nthreads=1)
        return array


@lru_cache(_OPEN_FILES)
def _open(path: str, inode: int) -> IO[bytes]:  # under one path another file may lie later, which has another inode
    """A file stays open for further slices, and is closed when it is the least recently used of many."""
    return open(path, "rb", buffering=0)


def _read_index(stream: IO[bytes]) -> bytes:
    stream.seek(0, io.SEEK_END)
    if stream.tell() < _TRAILER.size:
        raise ValueError("it is too short")
    stream.seek(-_TRAILER.size, io.SEEK_END)
    mark, size, digest = _TRAILER.unpack(stream.read(_TRAILER.size))
    if mark != _MARK:
        raise ValueError("its end is missing")
    start = stream.tell() - _TRAILER.size - size
    if start < 0:
        raise ValueError("its index is damaged")
    stream.seek(start)
    index = stream.read(size)
    if hashlib.sha256(index).digest() != digest or json.loads(zlib.decompress(index))["end"] != start:
        raise ValueError("its index is damaged")
    return index
