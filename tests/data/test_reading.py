# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_files import OBLIQUE, series_affine, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from PIL import Image
from pydicom.data import get_testdata_file

from monai_dino.data.reading import read_volume
from monai_dino.errors import InputError

DTYPES = ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "f4", ">f8"]


def volume_of(dtype: str, shape: tuple[int, ...] = (5, 6, 4), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(2**40)), min(info.max, 2**40), shape, endpoint=True).astype(dtype)


def rotation(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def same(one: MetaTensor, other: MetaTensor) -> bool:
    return one.shape == other.shape and np.array_equal(one, other) and np.array_equal(one.affine, other.affine)


def read_or_refusal(path: Path) -> MetaTensor | None:
    """The volume, or None where it was refused with an error that names the file."""
    try:
        return read_volume(path)
    except InputError as error:
        if str(path) not in str(error):
            raise
        return None


# NIfTI


@settings(deadline=None, max_examples=25)
@given(
    dtype=st.sampled_from(DTYPES),
    suffix=st.sampled_from([".nii", ".nii.gz", ".NII.GZ"]),
    seed=st.integers(0, 2**16),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
)
def test_nifti_voxels_and_places(
    dtype: str, suffix: str, seed: int, shape: tuple[int, int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = volume_of(dtype, shape, seed)
    affine = np.eye(4)
    affine[:3, :3] = rotation(seed) * (0.5, 1.5, 3)
    affine[:3, 3] = (-30, 20, 7.5)
    path = tmp_path_factory.mktemp("nifti") / f"image{suffix}"
    nib.save(nib.Nifti1Image(array, affine, dtype=array.dtype), path)
    volume = read_volume(path)
    assert np.array_equal(volume.numpy()[0], array)
    assert volume.amax() == array.max()  # torch works with it, as it does not with most unsigned types
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    assert volume.meta["filename_or_obj"] == str(path)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "PIR"])
def test_nifti_orientation_does_not_move_voxels(codes: str, write_nifti: Any) -> None:
    array, affine = volume_of("f4"), np.diag([1.0, 2.0, 3.0, 1.0])
    image = nib.Nifti1Image(array, affine)
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
    )
    path = write_nifti("turned.nii.gz", np.asarray(turned.dataobj), turned.affine)
    volume = read_volume(path)
    for index in [(0, 0, 0), (4, 1, 2), (3, 5, 3)]:
        place = affine @ [*index, 1]
        found = np.rint(np.linalg.solve(volume.affine.numpy(), place)[:3]).astype(int)
        assert volume[(0, *found)] == array[index]


def test_sform_holds_whatever_pixdim_says(write_nifti: Any) -> None:
    affine = np.diag([-2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    path = write_nifti("image.nii", volume_of("f4"), affine)
    raw = bytearray(path.read_bytes())
    raw[80:92] = struct.pack("<3f", 1, 1, 1)  # pixdim[1:4]
    path.write_bytes(raw)
    assert np.array_equal(read_volume(path).affine, affine)


def test_qform_holds_without_an_sform(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(1) @ np.diag([1, 1, np.linalg.det(rotation(1))]) * (0.5, 1.5, 3)
    image = nib.Nifti1Image(volume_of("f4"), None)
    image.set_qform(affine, code=1)
    image.set_sform(None, code=0)
    nib.save(image, tmp_path / "image.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "image.nii").affine, affine, atol=1e-5)


def test_nifti_rescaling_is_applied(tmp_path: Path) -> None:
    array = volume_of("<i2")
    image = nib.Nifti1Image(array, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "scaled.nii")
    raw = bytearray((tmp_path / "scaled.nii").read_bytes())
    stored = np.frombuffer(raw[352:], "<i2").reshape(array.shape, order="F")
    slope, intercept = struct.unpack_from("<2f", raw, 112)
    np.testing.assert_allclose(read_volume(tmp_path / "scaled.nii").numpy()[0], stored * slope + intercept, atol=1e-3)
    assert slope == 0.5


def test_two_dimensions_become_one_slice(write_nifti: Any) -> None:
    assert read_volume(write_nifti("flat.nii", np.ones((5, 6), "f4"))).shape == (1, 5, 6, 1)
    assert read_volume(write_nifti("time.nii", np.ones((5, 6, 4, 1), "f4"))).shape == (1, 5, 6, 4)


@pytest.fixture(scope="module")
def small_gz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gz") / "image.nii.gz"
    nib.save(nib.Nifti1Image(volume_of("f4"), np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path


def test_flipped_bytes_never_change_a_gzipped_volume(small_gz: Path, tmp_path: Path) -> None:
    whole, expected = small_gz.read_bytes(), read_volume(small_gz)
    rng = np.random.default_rng(0)
    refused = 0
    for at, bits in zip(rng.choice(len(whole), 150, replace=False), rng.integers(1, 256, 150), strict=True):
        damaged = bytearray(whole)
        damaged[at] ^= bits
        path = tmp_path / "damaged.nii.gz"
        path.write_bytes(damaged)
        found = read_or_refusal(path)
        assert found is None or same(found, expected), f"byte {at} changed by {bits}"
        refused += found is None
    assert refused > 100


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_no_truncation_passes(suffix: str, small_gz: Path, tmp_path: Path) -> None:
    source = tmp_path / f"whole{suffix}"
    nib.save(nib.load(small_gz), source)
    whole, path = source.read_bytes(), tmp_path / f"cut{suffix}"
    for length in [*range(0, len(whole), 23), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut"):
            read_volume(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 5, 2), "f4"), r"a 4-D image of shape \(3, 4, 5, 2\), expected 2-D or 3-D; save each time"),
        (np.zeros((3, 4, 5), "c8"), "voxels of type complex64"),
        (np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "an RGB NIfTI"),
        (np.zeros((0, 4, 5), "f4"), "empty"),
    ],
)
def test_nifti_that_is_no_volume(array: np.ndarray, message: str, write_nifti: Any) -> None:
    path = write_nifti("odd.nii", array)
    with pytest.raises(InputError, match=message) as error:
        read_volume(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite(value: float, write_nifti: Any) -> None:
    array = volume_of("f4")
    array[1, 2, 3] = array[4, 5, 3] = value
    path = write_nifti("holes.nii.gz", array)
    with pytest.raises(InputError, match=r"2 of 120 voxels are not finite .*\(1, 2, 3\)") as error:
        read_volume(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, 0, 0, 0), (0, 1, 0, 0), (0, 1, 0, 0)], "singular"),
        ([(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0)], "singular"),
        ([(0, 0, 0, 0)] * 3, "singular"),
        ([(np.nan, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)], "not finite"),
        ([(1, 0, 0, np.inf), (0, 1, 0, 0), (0, 0, 1, 0)], "not finite"),
    ],
)
def test_affines_that_say_nothing(rows: list[tuple[float, ...]], message: str, write_nifti: Any) -> None:
    path = write_nifti("image.nii", volume_of("f4"))
    raw = bytearray(path.read_bytes())
    raw[280:328] = struct.pack("<12f", *np.ravel(rows))  # srow_x, srow_y, srow_z
    path.write_bytes(raw)
    with pytest.raises(InputError, match=f"its affine .*{message}|its affine is {message}") as error:
        read_volume(path)
    assert str(path) in str(error.value)


# Pictures


def test_picture_lies_as_itk_reads_it(tmp_path: Path) -> None:
    pixels = volume_of("u1", (7, 9))
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    volume = read_volume(tmp_path / "grey.png")
    image = itk.imread(str(tmp_path / "grey.png"))
    assert np.array_equal(volume.numpy()[0, :, :, 0], pixels.T)
    assert np.array_equal(volume.numpy()[0, :, :, 0].T, itk.array_from_image(image))
    for index in [(0, 0), (8, 6), (3, 2)]:
        x, y = image.TransformIndexToPhysicalPoint(index)  # ITK works in LPS
        np.testing.assert_allclose(volume.affine.numpy() @ [*index, 0, 1], [-x, -y, 0, 1])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".bmp", ".tif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pictures(suffix: str, mode: str, tmp_path: Path) -> None:
    pixels = volume_of("u1", (8, 10) if mode == "L" else (8, 10, 3))
    Image.fromarray(pixels).save(tmp_path / f"picture{suffix}")
    with Image.open(tmp_path / f"picture{suffix}") as image:
        decoded = np.atleast_3d(np.asarray(image))
    volume = read_volume(tmp_path / f"picture{suffix}")
    assert np.array_equal(volume.numpy()[..., 0], decoded.transpose(2, 1, 0))
    if suffix not in (".jpg", ".JPEG"):
        assert np.array_equal(decoded, np.atleast_3d(pixels))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(suffix: str, tmp_path: Path) -> None:
    pixels = volume_of("u2", (5, 6))
    Image.fromarray(pixels).save(tmp_path / f"deep{suffix}")
    assert pixels.max() > 40000
    assert np.array_equal(read_volume(tmp_path / f"deep{suffix}").numpy()[0, :, :, 0], pixels.T)


def test_palette_becomes_its_colours(tmp_path: Path) -> None:
    colours = np.array([[10, 20, 30], [200, 100, 50], [0, 255, 0]], "u1")
    indices = np.random.default_rng(0).integers(0, 3, (6, 7)).astype("u1")
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "palette.png")
    assert np.array_equal(read_volume(tmp_path / "palette.png").numpy()[..., 0], colours[indices].transpose(2, 1, 0))


def test_black_and_white_are_one_and_zero(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((5, 6)) > 0.5
    Image.fromarray(pixels).save(tmp_path / "bits.png")
    assert np.array_equal(read_volume(tmp_path / "bits.png").numpy()[0, :, :, 0], pixels.T)


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_may_only_be_opaque(channels: int, tmp_path: Path) -> None:
    pixels = volume_of("u1", (5, 6, channels))
    pixels[..., -1] = 255
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    volume = read_volume(tmp_path / "opaque.png")
    assert np.array_equal(volume.numpy()[..., 0], pixels[..., :-1].transpose(2, 1, 0))
    pixels[2, 3, -1] = 254
    Image.fromarray(pixels).save(tmp_path / "glass.png")
    with pytest.raises(InputError, match=r"glass\.png: a picture of mode (RGBA|LA)"):
        read_volume(tmp_path / "glass.png")


def test_pictures_that_are_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (5, 6)).save(tmp_path / "print.jpg")
    with pytest.raises(InputError, match=r"print\.jpg: a picture of mode CMYK"):
        read_volume(tmp_path / "print.jpg")
    pages = [Image.fromarray(volume_of("u1", (5, 6), k)) for k in range(3)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match=r"stack\.tif: a picture of 3 pages"):
        read_volume(tmp_path / "stack.tif")
    Image.fromarray(np.full((5, 6), np.nan, "f4")).save(tmp_path / "nan.tif")
    with pytest.raises(InputError, match=r"nan\.tif: 30 of 30 voxels are not finite"):
        read_volume(tmp_path / "nan.tif")


def test_damaged_png_is_never_another_picture(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(volume_of("u1", (9, 12))).save(path)
    whole, expected = path.read_bytes(), read_volume(path)
    damages = [whole[:length] for length in range(0, len(whole), 5)]
    damages += [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(0, len(whole), 3)]
    refused = 0
    for damaged in damages:
        path.write_bytes(damaged)
        found = read_or_refusal(path)
        assert found is None or same(found, expected)
        refused += found is None
    assert refused > len(damages) / 2


def test_truncated_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(volume_of("u1", (9, 12))).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"picture\.jpg: cannot be read, it may be truncated or damaged"):
        read_volume(path)


# NumPy, ITK's formats, and what is none


@pytest.mark.parametrize("dtype", [*DTYPES, "?"])
def test_numpy_file(dtype: str, tmp_path: Path) -> None:
    array = volume_of("u1") > 128 if dtype == "?" else volume_of(dtype)
    np.save(tmp_path / "array.npy", array)
    volume = read_volume(tmp_path / "array.npy")
    assert np.array_equal(volume.numpy()[0], array)
    assert np.array_equal(volume.affine, np.eye(4))
    np.save(tmp_path / "flat.npy", array[:, :, 0])
    assert read_volume(tmp_path / "flat.npy").shape == (1, 5, 6, 1)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize("pickled", [np.array([Trap()], dtype=object), Trap()])
def test_pickles_are_not_opened(pickled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "trap.npy"
    if isinstance(pickled, np.ndarray):
        np.save(path, pickled, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(pickled))
    with pytest.raises(InputError, match=r"trap\.npy: cannot be read"):
        read_volume(path)
    assert not Path("sprung").exists()


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (), (3,), (2, 0, 4)])
def test_numpy_arrays_that_are_no_volume(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(shape))
    with pytest.raises(InputError, match=r"array\.npy: (a \d-D image|an empty image)"):
        read_volume(tmp_path / "array.npy")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".mhd"])
def test_formats_of_itk(suffix: str, tmp_path: Path) -> None:
    array = volume_of("<i2")
    image = itk.image_from_array(np.ascontiguousarray(array.T))
    image.SetSpacing((0.5, 1.5, 3.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    itk.imwrite(image, str(tmp_path / f"image{suffix}"))
    volume = read_volume(tmp_path / f"image{suffix}")
    assert np.array_equal(volume.numpy()[0], array)
    expected = [[-0.5, 0, 0, -10], [0, -1.5, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine, expected)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_truncated_formats_of_itk(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut{suffix}"
    itk.imwrite(itk.image_from_array(volume_of("f4")), str(path), compression=suffix == ".nrrd")
    whole = path.read_bytes()
    for length in (0, 20, len(whole) // 2, len(whole) - 12):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"cut\{suffix}: cannot be read"):
            read_volume(path)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_flat_images_of_itk(suffix: str, tmp_path: Path) -> None:
    array = volume_of("f4", (5, 6))
    image = itk.image_from_array(np.ascontiguousarray(array.T))
    image.SetSpacing((0.5, 1.5))
    image.SetOrigin((10.0, 20.0))
    itk.imwrite(image, str(tmp_path / f"flat{suffix}"))
    volume = read_volume(tmp_path / f"flat{suffix}")
    assert np.array_equal(volume.numpy()[0, :, :, 0], array)
    np.testing.assert_allclose(volume.affine, [[-0.5, 0, 0, -10], [0, -1.5, 0, -20], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_channels_of_itk_come_first(tmp_path: Path) -> None:
    array = volume_of("f4", (5, 6, 4, 2))
    image = itk.image_from_array(np.ascontiguousarray(array.transpose(2, 1, 0, 3)), is_vector=True)
    itk.imwrite(image, str(tmp_path / "two.nrrd"))
    assert np.array_equal(read_volume(tmp_path / "two.nrrd"), array.transpose(3, 0, 1, 2))


def test_what_is_not_there_or_not_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.nii\.gz: there is no such file; check dataset_dir"):
        read_volume(tmp_path / "gone.nii.gz")
    (tmp_path / "notes.docx").write_text("no image")
    with pytest.raises(InputError, match=r"notes\.docx: unknown kind of image; known are DICOM series and \.nii"):
        read_volume(tmp_path / "notes.docx")
    (tmp_path / "README").write_text("no image")
    with pytest.raises(InputError, match="README: not a readable DICOM file"):
        read_volume(tmp_path / "README")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds 0 DICOM series, expected one"):
        read_volume(tmp_path / "empty")


# DICOM


@pytest.mark.parametrize("place", [{}, OBLIQUE, OBLIQUE | {"step": (0.3, -1.0, 2.0)}], ids=["plain", "oblique", "tilt"])
def test_dicom_series_and_its_nifti_copy(place: dict[str, Any], tmp_path: Path, write_nifti: Any) -> None:
    stored = np.random.default_rng(0).integers(-900, 900, (5, 7, 4)).astype("<i2")
    names = ["d.dcm", "b.dcm", "c.dcm", "a.dcm"]  # the order of the names is not that of the slices
    write_series(tmp_path / "series", stored, **place, names=names, RescaleSlope=2, RescaleIntercept=-1024)
    series = read_volume(tmp_path / "series")
    assert np.array_equal(series.numpy()[0], stored.astype(int) * 2 - 1024)
    np.testing.assert_allclose(series.affine, series_affine(**place), atol=1e-5)
    copy = read_volume(write_nifti("copy.nii.gz", stored.astype("i4") * 2 - 1024, series_affine(**place)))
    assert np.array_equal(series, copy)
    np.testing.assert_allclose(series.affine, copy.affine, atol=1e-5)


def test_slices_that_run_backwards(tmp_path: Path) -> None:
    stored = volume_of("<i2", (3, 4, 5))
    write_series(tmp_path / "series", stored, step=(0, 0, -2))
    series = read_volume(tmp_path / "series")
    written = series_affine(step=(0, 0, -2))
    for index in [(0, 0, 0), (2, 3, 4), (1, 2, 3)]:
        found = np.rint(np.linalg.solve(series.affine.numpy(), written @ [*index, 1])[:3]).astype(int)
        assert series[(0, *found)] == stored[index]


@pytest.mark.parametrize("slopes", [[1, 0.5, 0.25, 100], [0.1, 1, 2, 3]])
def test_each_slice_has_its_own_rescaling(slopes: list[float], tmp_path: Path) -> None:
    stored = volume_of("<i2", (5, 7, 4))
    write_series(tmp_path / "pet", stored, RescaleSlope=slopes, RescaleIntercept=[0, 1, 2, 3])
    np.testing.assert_allclose(
        read_volume(tmp_path / "pet").numpy()[0], stored * np.array(slopes) + range(4), rtol=1e-6
    )


def test_signed_and_unsigned_slices_mix(tmp_path: Path) -> None:
    low, high = volume_of("<i2", (5, 7, 2)), volume_of("<u2", (5, 7, 2))
    write_series(tmp_path / "mixed", low)
    write_series(tmp_path / "mixed", high, origin=(0, 0, 5), names=["c.dcm", "d.dcm"])
    both = np.concatenate([low.astype(int), high.astype(int)], axis=2)
    assert np.array_equal(read_volume(tmp_path / "mixed").numpy()[0], both)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (5, 7, 2)).astype("<u2")
    tags = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    write_series(tmp_path / "xray", stored, **tags)
    assert np.array_equal(read_volume(tmp_path / "xray").numpy()[0], 4095 - stored.astype(int))


@pytest.mark.parametrize("name", ["image.dcm", "image.IMA", "IM0001", "1.2.840.113619.2"])
def test_single_dicom_file(name: str, tmp_path: Path) -> None:
    stored = volume_of("<i2", (5, 7, 1))
    (path,) = write_series(tmp_path, stored, origin=(-10, 20, 30), names=[name], RescaleIntercept=5, RescaleSlope=1)
    for source in (path, tmp_path):  # the folder of one file is the same image
        volume = read_volume(source)
        assert np.array_equal(volume.numpy()[0], stored.astype(int) + 5)
        expected = series_affine(origin=(-10, 20, 30))
        np.testing.assert_allclose(volume.affine[:, [0, 1, 3]], expected[:, [0, 1, 3]], atol=1e-6)


def test_only_the_files_of_the_series_are_read(tmp_path: Path) -> None:
    stored = volume_of("<i2", (5, 7, 4))
    files = write_series(tmp_path / "series", stored)
    (tmp_path / "series" / "copy.bak").write_bytes(files[1].read_bytes())
    (tmp_path / "series" / "._000.dcm").write_bytes(b"left by macOS")
    (tmp_path / "series" / "Thumbs.db").write_bytes(b"left by Windows")
    (tmp_path / "series" / "plan.dcm").write_bytes(Path(shipped("rtplan.dcm")).read_bytes())
    assert np.array_equal(read_volume(tmp_path / "series").numpy()[0], stored)


@pytest.mark.parametrize("length", [0, 50, 132, 400, 600, -1])
def test_series_with_a_truncated_file(length: int, tmp_path: Path) -> None:
    files = write_series(tmp_path / "series", volume_of("<i2", (5, 7, 3)))
    files[2].write_bytes(files[2].read_bytes()[:length])
    with pytest.raises(InputError, match="series"):
        read_volume(tmp_path / "series")


def shipped(name: str) -> str:
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom no longer ships {name}"
    return str(path)


@pytest.mark.parametrize(
    "name", ["MR_truncated.dcm", "no_meta.dcm", "meta_missing_tsyntax.dcm", "rtplan.dcm", "reportsi.dcm", "badVR.dcm"]
)
def test_broken_dicom_files(name: str) -> None:
    path = shipped(name)
    with pytest.raises(InputError) as error:
        read_volume(path)
    assert path in str(error.value)


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm"]
)
def test_dicom_voxels_are_those_of_pydicom(name: str) -> None:
    header = pydicom.dcmread(shipped(name))
    stored = header.pixel_array.reshape(-1, header.Rows, header.Columns)
    expected = stored * float(header.get("RescaleSlope", 1)) + float(header.get("RescaleIntercept", 0))
    assert np.array_equal(read_volume(shipped(name)).numpy()[0], expected.transpose(2, 1, 0))


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_compressed_dicom(name: str) -> None:
    assert same(read_volume(shipped(name)), read_volume(shipped("MR_small.dcm")))


def test_colour_dicom_has_three_channels() -> None:
    path = shipped("SC_rgb_rle.dcm")
    assert np.array_equal(read_volume(path).numpy()[..., 0], pydicom.dcmread(path).pixel_array.transpose(2, 1, 0))


def test_picture_that_is_to_be_turned(tmp_path: Path) -> None:
    """Its mask, drawn in a viewer that turns it, would lie across it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "phone.jpg", exif=exif)
    with pytest.raises(InputError, match=r"phone\.jpg: its EXIF data say .* \(orientation 6\); save it upright"):
        read_volume(tmp_path / "phone.jpg")
