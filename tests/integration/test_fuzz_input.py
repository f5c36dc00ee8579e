# SPDX-License-Identifier: Apache-2.0
"""Damaged files: each flipped byte and each truncation is an error that names the file, or changes no voxel.

Files of the slice store have checksums throughout; a damaged one is an error, or is built again from its sources.

Formats without checksums (plain NIfTI, NumPy, DICOM, JPEG, ...) cannot show that a voxel was changed; there, what reads
with other voxels must at least be noticed by the digests that the slice store and ``check`` keep of their sources.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom.data
import pytest
from dicom_files import write_series
from monai.data import MetaTensor
from PIL import Image

from monai_dino.data import SliceStore
from monai_dino.data.reading import read_volume
from monai_dino.data.sources import stamp, unchanged
from monai_dino.errors import InputError
from monai_dino.files import file_digest

SEEDS = (0, 1)
SHIPPED = Path(str(pydicom.data.__file__)).parent / "test_files"
VOLUME = np.random.default_rng(5).integers(-300, 900, (6, 5, 4)).astype(np.int16)
AFFINE = np.array([[-0.8, 0.1, 0, 5], [0.1, 0.9, 0, -7], [0, 0, 2.5, 3], [0, 0, 0, 1]])


def nifti(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        nib.save(nib.Nifti1Image(VOLUME, AFFINE), folder / name)
        return folder / name

    return write


def picture(name: str, colour: bool = False) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        pixels = np.random.default_rng(3).integers(0, 256, (9, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels if colour else pixels[..., 0]).save(folder / name)
        return folder / name

    return write


def numpy_file(folder: Path) -> Path:
    np.save(folder / "x.npy", VOLUME)
    return folder / "x.npy"


def meta_image(folder: Path) -> Path:
    import itk

    itk.imwrite(itk.image_from_array(VOLUME), str(folder / "x.mha"), compression=True)
    return folder / "x.mha"


def dicom(folder: Path) -> Path:
    return write_series(folder, VOLUME[:, :, :1])[0]


def shipped(name: str) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.copy(SHIPPED / name, folder / name))


WITH_CHECKSUMS = {
    "nii.gz": nifti("x.nii.gz"), "grey.png": picture("x.png"), "colour.png": picture("x.png", colour=True),
}  # fmt: skip
WITHOUT = {
    "nii": nifti("x.nii"), "npy": numpy_file, "mha": meta_image, "dcm": dicom, "jpg": picture("x.jpg"),
    "bmp": picture("x.bmp"), "tif": picture("x.tif"), "jpeg2000.dcm": shipped("MR_small_jp2klossless.dcm"),
    "rle.dcm": shipped("MR_small_RLE.dcm"), "jpegls.dcm": shipped("MR_small_jpeg_ls_lossless.dcm"),
    "rgb.dcm": shipped("SC_rgb_small_odd.dcm"),
}  # fmt: skip


def damages(data: bytes, seed: int, most: int) -> Iterator[tuple[str, bytes]]:
    """Every byte, or as many as are allowed, flipped by a random mask; and as many truncations by a quarter."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(len(data))[:most]
    for place in places.tolist():
        mask = int(rng.integers(1, 256))
        yield f"byte {place} xor {mask}", data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]
    for length in {0, 1, len(data) - 1, *rng.integers(0, len(data), max(4, len(places) // 4)).tolist()}:
        yield f"cut to {length} bytes", data[:length]


def read(path: Path) -> MetaTensor | None:
    """The volume, or ``None`` after an error that names the file; anything else is a failure."""
    try:
        return read_volume(path)
    except InputError as error:
        if str(path) not in str(error):
            raise
        return None


def same(one: MetaTensor, other: MetaTensor) -> bool:
    alike = one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one.affine, other.affine)
    return alike and np.array_equal(one.numpy(), other.numpy())


def counted(write: Callable[[Path], Path], folder: Path, seed: int, most: int) -> dict[str, Any]:
    path = write(folder)
    whole, data = read_volume(path), path.read_bytes()
    known = [{**stamp(path), "sha256": file_digest(path)}]
    result: dict[str, Any] = {"tried": 0, "errors": 0, "harmless": 0, "changed": []}
    for what, damaged in damages(data, seed, most):
        path.write_bytes(damaged)
        found = read(path)
        result["tried"] += 1
        result["errors"] += found is None
        result["harmless"] += found is not None and same(found, whole)
        if found is not None and not same(found, whole):
            result["changed"].append(what)
            assert not unchanged(known, [path]), what
    return result


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", WITH_CHECKSUMS)
def test_no_change_is_silent_where_there_are_checksums(kind: str, seed: int, tmp_path: Path) -> None:
    result = counted(WITH_CHECKSUMS[kind], tmp_path, seed, most=100_000)
    print(kind, seed, result)
    assert result["changed"] == []
    assert result["errors"] + result["harmless"] == result["tried"] > 100
    assert result["errors"] > 0.8 * result["tried"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", WITHOUT)
def test_every_change_is_noticed_by_the_digest_where_there_are_none(kind: str, seed: int, tmp_path: Path) -> None:
    result = counted(WITHOUT[kind], tmp_path, seed, most=150)
    print(kind, seed, result)
    assert result["errors"] + result["harmless"] + len(result["changed"]) == result["tried"] > 100
    assert [what for what in result["changed"] if what.startswith("cut")] == []  # that shows in every format


@pytest.mark.parametrize("seed", SEEDS)
def test_no_change_of_a_stored_case_is_silent(seed: int, tmp_path: Path) -> None:
    """Image, mask, table of levels and index: whoever has the store open, and whoever opens it, learns of it."""
    mask = np.random.default_rng(6).integers(0, 3, VOLUME.shape).astype(np.uint8)
    nib.save(nib.Nifti1Image(VOLUME.astype(np.float32) / 4, AFFINE), tmp_path / "x.nii.gz")
    nib.save(nib.Nifti1Image(mask, AFFINE), tmp_path / "m.nii.gz")
    item = {"image": str(tmp_path / "x.nii.gz"), "label": str(tmp_path / "m.nii.gz"), "case": "x"}

    def opened() -> SliceStore:
        return SliceStore([item], tmp_path / "store", num_workers=1, progress=False)

    def found(store: SliceStore) -> tuple[bytes, ...] | None:
        try:
            case = store[0]
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
            return None
        return tuple(case[key].numpy().tobytes() for key in ("image", "label"))

    path, whole = opened().stored[0].path, found(opened())
    data, result = path.read_bytes(), {"tried": 0, "errors": 0, "built again": 0}
    for what, damaged in damages(data, seed, most=250):
        path.write_bytes(data)
        before = opened()
        path.write_bytes(damaged)
        assert found(before) in (None, whole), what
        after = found(opened())
        assert after in (None, whole), what
        result["tried"] += 1
        result["errors" if after is None else "built again"] += 1
    print("slices", seed, result)
    assert result["tried"] > 250
    assert min(result.values()) > 0
