# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import itk
import numpy as np
import pydicom.data
import pytest
from dicom_files import write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from monai_dino.data import dicom_pixels
from monai_dino.data.dicom_pixels import read_frames, read_header
from monai_dino.data.reading import read_volume
from monai_dino.errors import InputError

SHIPPED = Path(str(pydicom.data.__file__)).parent / "test_files"
FILES = sorted(p.name for p in SHIPPED.glob("*.dcm"))


def by_itk(path: Path) -> np.ndarray | None:
    try:
        return np.asarray(itk.array_from_image(itk.imread(str(path))))
    except Exception:  # ITK raises whatever its readers do
        return None


@pytest.mark.parametrize("name", FILES)
def test_two_readers_agree_on_every_file_or_it_is_refused(name: str) -> None:
    """GDCM and pydicom share no code; where we decode with one, the other is the judge."""
    path = SHIPPED / name
    try:
        volume = read_volume(path).numpy()
    except InputError:
        with pytest.raises(InputError, match=re.escape(str(path))):
            read_volume(path)
        return
    if (other := by_itk(path)) is not None:
        assert np.array_equal(volume.transpose(3, 2, 1, 0).reshape(other.shape), other)


def test_most_shipped_files_are_read() -> None:
    """Else the test above would say nothing."""
    read = []
    for name in FILES:
        try:
            read.append(read_volume(SHIPPED / name))
        except InputError:
            continue
    assert len(read) >= 45


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MR_truncated.dcm", "cannot be decoded, they may be cut short or damaged .*Explicit VR Little Endian"),
        ("no_meta.dcm", "not a readable DICOM file"),
        ("meta_missing_tsyntax.dcm", "holds no image"),
        ("badVR.dcm", "a dose grid"),
        ("rtplan.dcm", "is no image; take it out"),
        ("rtdose_expb.dcm", "a dose grid"),
        ("liver_1frame.dcm", "a DICOM segmentation"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", "cannot be decoded"),
        ("examples_ybr_color.dcm", "30 frames that do not state their places"),
    ],
)
def test_what_is_no_image_or_broken_is_named(name: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"(?s){name}: .*{words}"):
        read_volume(SHIPPED / name)


@settings(deadline=None, max_examples=30)
@given(bits=st.integers(2, 16), signed=st.booleans(), seed=st.integers(0, 99))
def test_bits_that_are_not_stored_do_not_count(
    bits: int, signed: bool, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    values = rng.integers(low, high, (5, 4, 1))
    garbage = rng.integers(0, 2**16, values.shape) << bits
    stored = ((values & (2**bits - 1)) | garbage & 0xFFFF).astype("<u2")
    tags = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(signed)}
    (path,) = write_series(tmp_path_factory.mktemp("bits"), stored, **tags)
    assert np.array_equal(read_frames(path)[0], values[:, :, 0].T)


def test_bits_that_do_not_begin_at_the_lowest_are_refused(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, np.zeros((3, 4, 1), "<u2"), BitsStored=12, HighBit=15)
    with pytest.raises(InputError, match=r"000\.dcm: its 12 bits do not begin at the lowest \(HighBit 15\)"):
        read_frames(path)


@settings(deadline=None, max_examples=30)
@given(
    slope=st.sampled_from([1, 2, -3, 0.5, 1.25, 0.1]),
    intercept=st.sampled_from([0, -1024, 7.5, 100000]),
    dtype=st.sampled_from(["<i2", "<u2"]),
    inverted=st.booleans(),
)
def test_values_are_those_of_the_standard(
    slope: float, intercept: float, dtype: str, inverted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(0).integers(limits.min, limits.max, (5, 4, 1), dtype, endpoint=True)
    tags: dict[str, Any] = {"RescaleSlope": slope, "RescaleIntercept": intercept}
    tags["PhotometricInterpretation"] = "MONOCHROME1" if inverted else "MONOCHROME2"
    (path,) = write_series(tmp_path_factory.mktemp("values"), stored, **tags)
    plain = stored[:, :, 0].T.astype(float)
    expected = (limits.max + limits.min - plain if inverted else plain) * slope + intercept
    found = read_frames(path)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (found.dtype.kind in "iu") == (float(slope).is_integer() and float(intercept).is_integer())


@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
def test_a_ct_states_its_units(missing: str, tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, np.zeros((3, 4, 1), "<i2"), **{missing: None})
    with pytest.raises(
        InputError, match=r"000\.dcm: a CT without rescale slope and intercept, so its HU are not known"
    ):
        read_frames(path)
    (other,) = write_series(tmp_path / "mr", np.zeros((3, 4, 1), "<i2"), **{missing: None}, Modality="MR")
    assert read_frames(other).shape == (1, 4, 3)


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"])
def test_where_one_decoder_fails_the_other_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_frames(SHIPPED / name)
    monkeypatch.setattr(dicom_pixels, "_PLUGINS", dict.fromkeys(dicom_pixels._PLUGINS, "gdcm"))  # is not installed
    assert np.array_equal(read_frames(SHIPPED / name), expected)


@pytest.mark.parametrize("name", ["JPEG2000.dcm", "SC_rgb_jpeg.dcm"])
def test_what_two_decoders_may_read_differently_is_read_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_pixels, "_PLUGINS", dict.fromkeys(dicom_pixels._PLUGINS, "gdcm"))
    with pytest.raises(InputError, match=rf"{name}: its pixels cannot be decoded"):
        read_frames(SHIPPED / name)


def test_a_header_is_read_without_its_pixels() -> None:
    assert "PixelData" not in read_header(SHIPPED / "CT_small.dcm")
    assert "PixelData" in read_header(SHIPPED / "CT_small.dcm", pixels=True)


def test_a_value_that_cannot_be_parsed_is_an_error(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, np.zeros((3, 4, 1), "<i2"))
    header = dcmread(path)
    header.NumberOfFrames = 1
    data = path.with_name("x.dcm")
    header.save_as(data)
    data.write_bytes(data.read_bytes().replace(b"\x28\x00\x08\x00IS\x02\x001 ", b"\x28\x00\x08\x00IS\x02\x001A"))
    with pytest.raises(InputError, match=r"x\.dcm"):
        read_volume(data)
