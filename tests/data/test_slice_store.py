# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import write_volume

from monai_dino.data import open_volume, slice_builder, slice_store
from monai_dino.data.cases import LoadCased
from monai_dino.data.slice_store import SliceStore
from monai_dino.data.verify_store import verify_store
from monai_dino.errors import ConfigurationError, InputError
from monai_dino.transforms import OrientToPlaned, ScaleIntensityByModality
from monai_dino.transforms.intensity import PERCENTILES_KEY

AFFINE = np.array([[0.0, -0.8, 0.1, 5.0], [1.1, 0.0, 0.0, -7.0], [0.0, 0.1, 2.5, 3.0], [0.0, 0.0, 0.0, 1.0]])


def write_case(
    folder: Path, name: str = "a", dtype: str = "i2", seed: int = 0, shape: Any = (7, 9, 5)
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 40, shape).astype(dtype)
    mask = (rng.random(shape) > 0.9).astype(np.uint8) * 2
    mask[..., 0] = 0
    return {
        "image": str(write_volume(folder / f"{name}.nii.gz", image, AFFINE)),
        "label": str(write_volume(folder / f"{name}_mask.nii.gz", mask, AFFINE)),
        "case": name,
    }


def in_memory(item: dict[str, Any], plane: Any = "axial", in_channels: int = 1) -> dict[str, Any]:
    keys = ["image", "label"] if isinstance(item.get("label"), (str, list)) else ["image"]
    return OrientToPlaned(keys, plane)(LoadCased(in_channels)(item))


def assert_equal(store: SliceStore, items: list[dict[str, Any]]) -> None:
    assert len(store) == len(items)
    for found, case, item in zip(store, store.stored, items, strict=True):
        expected = in_memory(item, store.settings.plane, store.settings.in_channels)
        for key in ("image", "label"):
            if not isinstance(expected.get(key), torch.Tensor):
                assert found.get(key) == item.get(key)
                continue
            assert found[key].dtype == expected[key].dtype
            assert torch.equal(found[key].as_tensor(), expected[key].as_tensor())
            torch.testing.assert_close(found[key].affine, expected[key].affine, atol=1e-9, rtol=0)
            for k in range(case.depth):
                piece = case.slice_item(k)[key]
                assert torch.equal(piece.as_tensor(), expected[key].as_tensor()[..., k])


# What is stored


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from(["u1", "i2", "i4", "f4", "f8"]),
    plane=st.sampled_from(["axial", "coronal", "sagittal"]),
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 9)),
    seed=st.integers(0, 99),
)
def test_slices_are_those_of_the_volume_read_whole(
    dtype: str, plane: Any, shape: Any, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store")
    item = write_case(folder, dtype=dtype, seed=seed, shape=shape)
    assert_equal(SliceStore([item], folder / "store", plane=plane, progress=False), [item])


def test_channels_pictures_and_cases_without_a_mask(tmp_path: Path) -> None:
    from skimage.io import imsave

    a, b = write_case(tmp_path, "a"), write_case(tmp_path, "b", seed=1)
    two = {"image": [a["image"], b["image"]], "label": a["label"], "case": "two"}
    assert_equal(SliceStore([two], tmp_path / "s", in_channels=2, progress=False), [two])
    imsave(tmp_path / "p.png", np.arange(48, dtype=np.uint8).reshape(6, 8), check_contrast=False)
    plain = [{"image": str(tmp_path / "p.png"), "case": "p", "label": 3}, {"image": a["image"], "case": "a"}]
    store = SliceStore(plain, tmp_path / "s", progress=False)
    assert_equal(store, plain)
    assert [case.labels for case in store.stored] == [None, None]
    assert [case.mask(0) for case in store.stored] == [None, None]
    assert store[0]["image"].shape[1:3] == (6, 8)  # rows and columns


def test_voxels_that_take_all_values_are_stored_bit_by_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 50, 60, 40)).astype(np.float32)[0]  # more values than levels can number
    few = np.where(rng.random((8, 8, 4)) > 0.5, -0.0, 0.0).astype(np.float32)
    items = [
        {"image": str(write_volume(tmp_path / f"{k}.nii", array, np.eye(4))), "case": str(k)}
        for k, array in enumerate((image, few))
    ]
    store = SliceStore(items, tmp_path / "store", progress=False)
    assert_equal(store, items)
    expected = in_memory(items[1])["image"].numpy()
    assert np.array_equal(np.signbit(store[1]["image"].numpy()), np.signbit(expected))


def test_what_is_known_of_a_case_without_reading_its_slices(tmp_path: Path) -> None:
    item = write_case(tmp_path)
    case = SliceStore([item], tmp_path / "store", modality="ct", progress=False).stored[0]
    whole = in_memory(item)
    image, mask = whole["image"].numpy().astype(float), whole["label"].numpy()
    assert case.depth == 5
    assert case.shape == whole["image"].shape
    assert case.original["shape"] == [7, 9, 5]
    np.testing.assert_allclose(case.original["affine"], AFFINE, atol=1e-6)
    assert case.labels == [tuple(c for c in np.unique(mask[..., k]).tolist() if c) for k in range(5)]
    assert case.label_voxels == {0: int((mask == 0).sum()), 2: int((mask == 2).sum())}
    np.testing.assert_allclose(case.statistics["mean"], [image.mean()])
    np.testing.assert_allclose(case.statistics["std"], [image.std()])
    np.testing.assert_allclose(case.percentiles["99.5"], [np.percentile(image, 99.5)], rtol=1e-6)
    assert (case.percentiles["0"], case.percentiles["100"]) == ([image.min()], [image.max()])
    assert [source["path"] for source in case.sources] == [item["image"], item["label"]]


def test_a_slice_is_scaled_by_the_percentiles_of_its_volume(tmp_path: Path) -> None:
    a, b = write_case(tmp_path, "a", "f4"), write_case(tmp_path, "b", "f4", seed=1)
    item = {"image": [a["image"], b["image"]], "case": "two"}
    case = SliceStore([item], tmp_path / "store", in_channels=2, progress=False).stored[0]
    scale = ScaleIntensityByModality("mr")
    whole = scale(in_memory(item, in_channels=2)["image"]).as_tensor()
    for k in range(case.depth):
        piece = case.slice_item(k, neighbours=1)["image"]
        around = np.clip([k - 1, k, k + 1], 0, case.depth - 1)
        expected = torch.cat([whole[..., n] for n in around])
        scaled = scale(piece)
        torch.testing.assert_close(scaled.as_tensor(), expected, atol=2e-6, rtol=0)
        assert PERCENTILES_KEY not in scaled.meta
        assert PERCENTILES_KEY in piece.meta


def test_a_slice_stays_where_it_was(tmp_path: Path) -> None:
    item = write_case(tmp_path)
    case = SliceStore([item], tmp_path / "store", plane="coronal", progress=False).stored[0]
    whole = in_memory(item, "coronal")["image"]
    for k in (0, 3):
        piece = case.slice_item(k)["image"]
        corner = torch.tensor([2.0, 3, 0, 1], dtype=torch.float64)
        expected = whole.affine @ torch.tensor([2.0, 3, k, 1], dtype=torch.float64)
        torch.testing.assert_close(piece.affine @ corner, expected)


def test_a_bag_is_some_of_the_slices(tmp_path: Path) -> None:
    case = SliceStore([write_case(tmp_path)], tmp_path / "store", progress=False).stored[0]
    whole, bag = case.volume_item(), case.volume_item(np.array([4, 0, 0]))
    for key in ("image", "label"):
        assert torch.equal(bag[key].as_tensor(), whole[key].as_tensor()[..., [4, 0, 0]])


# When it is stored again


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cases that are built."""
    built: list[str] = []
    build = slice_builder.build_slice_file

    def count(item: Any, *more: Any) -> None:
        built.append(item["case"])
        build(item, *more)

    monkeypatch.setattr(slice_store, "build_slice_file", count)
    return built


def test_what_is_there_is_kept(tmp_path: Path, builds: list[str]) -> None:
    items = [write_case(tmp_path, name, seed=k) for k, name in enumerate("abc")]
    SliceStore(items[:2], tmp_path / "store", progress=False)
    store = SliceStore(items, tmp_path / "store", progress=False)
    assert sorted(builds) == ["a", "b", "c"]
    assert_equal(store, items)
    SliceStore(items, tmp_path / "store", plane="sagittal", progress=False)
    assert len(builds) == 6
    assert_equal(SliceStore(items, tmp_path / "store", progress=False), items)
    assert len(builds) == 6


@pytest.mark.parametrize("key", ["image", "label"])
def test_a_changed_file_is_noticed(
    key: str, tmp_path: Path, builds: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    item = write_case(tmp_path)
    SliceStore([item], tmp_path / "store", progress=False)
    path = Path(item[key])
    state, image = path.stat(), nib.load(path)
    changed = np.asarray(image.dataobj).copy()
    changed[3, 3, 3] += 1
    nib.save(nib.Nifti1Image(changed, image.affine), path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with caplog.at_level(logging.WARNING, "monai_dino"):
        store = SliceStore([item], tmp_path / "store", progress=False)
    assert builds == ["a", "a"]
    assert "its files were changed since it was stored" in caplog.text
    assert_equal(store, [item])


def test_a_file_that_is_only_newer_is_not_decoded_again(tmp_path: Path, builds: list[str]) -> None:
    item = write_case(tmp_path)
    SliceStore([item], tmp_path / "store", progress=False)
    os.utime(item["image"])
    store = SliceStore([item], tmp_path / "store", progress=False)
    assert builds == ["a"]
    assert_equal(store, [item])
    assert store.stored[0].sources[0]["changed"][0] == Path(item["image"]).stat().st_mtime_ns
    verify_store(store)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = write_case(tmp_path)
    digest = slice_builder.file_digest

    def touch(path: Path) -> str:
        os.utime(path)
        return digest(path)

    monkeypatch.setattr(slice_builder, "file_digest", touch)
    with pytest.raises(InputError, match=r"a\.nii\.gz: a file of the case was changed while it was read"):
        SliceStore([item], tmp_path / "store", progress=False)
    assert not list((tmp_path / "store").glob("*.slices"))


# Damage


def test_a_damaged_index_is_built_again(tmp_path: Path, builds: list[str], caplog: pytest.LogCaptureFixture) -> None:
    item = write_case(tmp_path)
    path = SliceStore([item], tmp_path / "store", progress=False).stored[0].path
    path.write_bytes(path.read_bytes()[:-5])
    with caplog.at_level(logging.WARNING, "monai_dino"):
        assert_equal(SliceStore([item], tmp_path / "store", progress=False), [item])
    assert f"{path}: not a whole slice file" in caplog.text
    assert builds == ["a", "a"]


def test_a_damaged_slice_is_an_error_that_says_what_to_do(tmp_path: Path, builds: list[str]) -> None:
    items = [write_case(tmp_path, name, seed=k, shape=(30, 40, 5)) for k, name in enumerate("ab")]
    path = SliceStore(items, tmp_path / "store", progress=False).stored[0].path
    data = bytearray(path.read_bytes())
    data[40] ^= 4
    path.with_suffix(".new").write_bytes(bytes(data))
    os.replace(path.with_suffix(".new"), path)
    store = SliceStore(items, tmp_path / "store", progress=False)
    with pytest.raises(InputError, match=rf"{path.name}: is damaged at byte 0 .*delete it, and it is built again"):
        store[0]
    with pytest.raises(InputError, match=rf"1 faults in .*\n.*{path.name}: is damaged"):
        verify_store(store)
    path.unlink()
    assert_equal(SliceStore(items, tmp_path / "store", progress=False), items)
    assert len(builds) == 3


# Errors


def test_all_cases_that_cannot_be_stored_are_named_and_the_others_are_stored(tmp_path: Path, builds: list[str]) -> None:
    items = [write_case(tmp_path, name, "f4", seed=k) for k, name in enumerate("abcd")]
    Path(items[1]["image"]).write_bytes(Path(items[1]["image"]).read_bytes()[:-9])
    write_volume(Path(items[3]["image"]), np.full((7, 9, 5), np.nan, np.float32), AFFINE)
    with pytest.raises(InputError, match="2 of 4 cases cannot be stored") as error:
        SliceStore(items, tmp_path / "store", progress=False)
    assert "b.nii.gz" in str(error.value)
    assert "d.nii.gz: 315 of 315 voxels are not finite" in str(error.value)
    with pytest.raises(InputError, match=r"^.*b\.nii\.gz") as error:
        SliceStore(items[:3], tmp_path / "store", progress=False)
    assert "cases cannot" not in str(error.value)
    assert len([p for p in (tmp_path / "store").iterdir() if p.is_file()]) == 2
    assert_equal(SliceStore([items[0], items[2]], tmp_path / "store", progress=False), [items[0], items[2]])


def test_voxels_that_are_not_finite_may_be_filled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = np.ones((6, 5, 4), np.float32)
    image[1, 2, 3] = np.nan
    item = {"image": str(write_volume(tmp_path / "n.nii.gz", image, np.eye(4))), "case": "n"}
    whole = SliceStore([item], tmp_path / "store", fill=-5, progress=False)[0]["image"]
    assert int((whole == -5).sum()) == 1
    assert int((whole == 1).sum()) == 119
    assert f"{item['image']}: 1 voxels are not finite; they were set to -5" in caplog.text


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    item = write_case(tmp_path)
    for _ in range(2):  # whether or not the case was stored
        Path(item["label"]).rename(tmp_path / "aside")
        with pytest.raises(InputError, match=r"a_mask\.nii\.gz: there is no such file; check dataset_dir"):
            SliceStore([item], tmp_path / "store", progress=False)
        (tmp_path / "aside").rename(item["label"])
        SliceStore([item], tmp_path / "store", progress=False)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"store_dir: .*file/store cannot be made"):
        SliceStore([write_case(tmp_path)], tmp_path / "file" / "store")


def test_masks_hold_declared_classes(tmp_path: Path) -> None:
    item = write_case(tmp_path)
    SliceStore([item], tmp_path / "store", out_channels=3, progress=False)
    with pytest.raises(
        InputError, match=r"a_mask\.nii\.gz: holds label values \[2\], but the declared classes are 0 to 1"
    ):
        SliceStore([item], tmp_path / "store", out_channels=2, progress=False)
    for label, found in ((None, r"has no mask \(label: None\)"), (3, r"has no mask \(label: 3\)")):
        plain = {"image": item["image"], "case": "a"} | ({} if label is None else {"label": label})
        with pytest.raises(InputError, match=found):
            SliceStore([plain], tmp_path / "store", out_channels=3, progress=False)
    with pytest.raises(InputError, match="there are no cases"):
        SliceStore([], tmp_path / "store")


def test_image_and_mask_lie_on_one_grid(tmp_path: Path) -> None:
    item = write_case(tmp_path)
    write_volume(Path(item["label"]), np.zeros((7, 9, 5), np.uint8), AFFINE + np.eye(4)[:, [3, 3, 3, 0]])
    with pytest.raises(InputError, match=r"a_mask\.nii\.gz: lies elsewhere in the patient than .*a\.nii\.gz"):
        SliceStore([item], tmp_path / "store", progress=False)


# Killed and shared builds

_BUILDER = """
import sys
from monai_dino.data import SliceStore
store, *images = sys.argv[1:]
print("ready", flush=True)
SliceStore([{"image": image} for image in images], store, num_workers=1, progress=False)
print("done", flush=True)
"""


def start_builder(store: Path, items: list[dict[str, Any]]) -> subprocess.Popen[str]:
    images = [item["image"] for item in items]
    return subprocess.Popen(
        [sys.executable, "-c", _BUILDER, str(store), *images], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def many(tmp_path: Path) -> list[dict[str, Any]]:
    items = [write_case(tmp_path / "data", f"c{k}", "f4", seed=k, shape=(60, 70, 40)) for k in range(12)]
    return [{"image": item["image"]} for item in items]


def test_a_build_may_be_killed_at_any_moment(tmp_path: Path, many: list[dict[str, Any]]) -> None:
    store, found = tmp_path / "store", []
    for delay in (0.02, 0.1, 0.25, 0.4):
        builder = start_builder(store, many)
        assert builder.stdout is not None
        assert builder.stdout.readline() == "ready\n"
        time.sleep(delay)
        builder.send_signal(signal.SIGKILL)
        builder.communicate()
        names = sorted(p for p in store.glob("*.slices") if not p.name.startswith("."))
        found.append(len(names))
        for path in names:  # what has its name is whole
            case = slice_store.StoredCase(path, {})
            case.volume_item()
    assert 0 < found[-1] < len(many) or found[0] < len(many)
    assert_equal(SliceStore(many, store, progress=False), many)
    left = [p.name for p in store.iterdir() if p.name.startswith(".") and p.name != ".locks"]
    assert left == []


def test_what_a_killed_build_left_is_swept_but_not_what_is_at_work(tmp_path: Path) -> None:
    store, items = tmp_path / "store", [write_case(tmp_path)]
    path = SliceStore(items, store, progress=False).stored[0].path
    for name in (path.name, "other.slices"):
        (store / f".scratch-{name}").mkdir()
        (store / f".scratch-{name}" / "volume.nii").write_bytes(b"half")
        (store / f".part-{name}").write_bytes(b"half")
    with FileLock(store / ".locks" / "other.slices.lock"):
        SliceStore(items, store, progress=False)
        left = {p.name for p in store.iterdir()} - {path.name, ".locks"}
        assert left == {".scratch-other.slices", ".part-other.slices"}
    SliceStore(items, store, progress=False)
    assert {p.name for p in store.iterdir()} == {path.name, ".locks"}


def test_two_builders_give_one_correct_store(tmp_path: Path, many: list[dict[str, Any]]) -> None:
    store = tmp_path / "store"
    builders = [start_builder(store, many) for _ in range(2)]
    for builder in builders:
        out, err = builder.communicate(timeout=120)
        assert out == "ready\ndone\n", err
    before = {p: p.stat().st_mtime_ns for p in store.glob("*.slices")}
    assert len(before) == len(many)
    assert_equal(SliceStore(many, store, progress=False), many)
    assert {p: p.stat().st_mtime_ns for p in store.glob("*.slices")} == before


# Memory


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_building_and_reading_take_the_memory_of_a_block(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (200, 240, 160)
    volume = np.random.default_rng(0).integers(0, 900, shape, dtype=np.int16)
    item = {"image": str(write_volume(tmp_path / f"x{suffix}", volume, np.eye(4))), "case": "x"}
    monkeypatch.setattr(open_volume, "_BLOCK", 1 << 18)
    SliceStore([write_case(tmp_path)], tmp_path / "warm", progress=False)  # what is imported on first use
    tracemalloc.start()
    case = SliceStore([item], tmp_path / "store", num_workers=1, progress=False).stored[0]
    case.slice_item(80)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < volume.nbytes / 2


def test_channels_of_many_levels_come_back(tmp_path: Path) -> None:
    """Together more than two bytes can number."""
    rng = np.random.default_rng(0)
    volumes = rng.normal(size=(2, 200, 190, 3)).astype(np.float32)
    paths = [str(write_volume(tmp_path / f"{k}.nii.gz", volume, np.eye(4))) for k, volume in enumerate(volumes)]
    store = SliceStore([{"image": paths}], tmp_path / "store", in_channels=2, modality="mr", progress=False)
    found = np.stack([store.stored[0].image(k) for k in range(3)], axis=-1)
    assert sorted(found.ravel().tolist()) == sorted(volumes.ravel().tolist())
    for channel, volume in zip(found, volumes, strict=True):
        assert set(channel.ravel().tolist()) == set(volume.ravel().tolist())


def test_a_table_of_levels_is_kept_only_where_it_saves_much(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    few = rng.choice(rng.normal(size=300), size=(64, 64, 4)).astype(np.float32)
    many = rng.normal(size=(64, 64, 4)).astype(np.float32)
    cases = [
        {"image": str(write_volume(tmp_path / f"{n}.nii", v, np.eye(4)))} for n, v in (("few", few), ("many", many))
    ]
    store = SliceStore(cases, tmp_path / "store", modality="mr", progress=False)
    kept = {Path(case.item["image"]).stem: case._levels for case in store.stored}
    assert kept["many"] is None
    assert kept["few"] is not None
