# SPDX-License-Identifier: Apache-2.0
"""Measures the slice store against reading whole files, and against other array libraries, and writes one page.

python benchmarks/slice_store.py --data DATA
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import operator
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import blosc2
import nibabel as nib
import numpy as np
import torch
from monai.data import DataLoader
from monai.transforms import Compose, LoadImage, ResizeWithPadOrCropd
from scipy.ndimage import zoom

from monai_dino.data import SliceDataset, SliceStore
from monai_dino.transforms import OrientToPlaned, ScaleIntensityByModalityd

ROOT = Path(__file__).resolve().parent
BIG = (1024, 1024, 512)  # int16: 1 GiB


def milliseconds(call: Callable[[], Any], times: int) -> float:
    """Median time of a call after a first one, which is not counted."""
    call()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken)


def upsampled(source: Path, target: Path) -> Path:
    """A volume of 512 x 512 x 200 from a smaller one, linearly interpolated, as int16."""
    image = nib.load(source)
    array = np.asarray(image.dataobj, dtype=np.float32)
    factors = np.divide((512, 512, 200), array.shape)
    large = zoom(array, factors, order=1).round().astype(np.int16)
    nib.save(nib.Nifti1Image(large, image.affine @ np.diag([*(1 / factors), 1])), target)
    return target


def cases_of(data: Path, work: Path) -> dict[str, list[dict[str, str]]]:
    """Items of the three data sets."""
    ct = data / "abdomen_ct"
    hippocampi = sorted((data / "hippocampus_mr" / "images").glob("*.nii.gz"))
    return {
        "abdomen_ct": [{"image": str(ct / "ct.nii.gz"), "label": str(ct / "organs.nii.gz")}],
        "512x512x200": [{"image": str(upsampled(ct / "ct.nii.gz", work / "large.nii.gz"))}],
        "hippocampus_mr": [
            {"image": str(p), "label": str(p.parents[1] / "labels" / p.name)} for p in hippocampi
        ],
    }  # fmt: skip


def drawn(store: SliceStore) -> Iterator[tuple[int, int]]:
    """Cases and their slices, at random."""
    rng = np.random.default_rng(0)
    cases = [int(rng.integers(len(store))) for _ in range(5000)]
    return iter([(k, int(rng.integers(min(store.stored[k].original["shape"])))) for k in cases])


def row_of(name: str, items: list[dict[str, str]], work: Path) -> tuple[dict[str, Any], SliceStore]:
    """Reading, size and equality of one data set."""
    start = time.perf_counter()
    store = SliceStore(items, work / name, progress=False)
    built = time.perf_counter() - start
    load = LoadImage()
    slow_places, fast_places = drawn(store), drawn(store)  # beforehand: a random number takes a microsecond

    def whole() -> Any:
        k, z = next(slow_places)
        return load(items[k]["image"])[..., z]

    def one() -> np.ndarray:
        k, z = next(fast_places)
        return store.stored[k].image(z)

    size = sum(os.path.getsize(path) for item in items for path in item.values())
    for k in range(0, len(items), max(1, len(items) // 10)):
        expected = OrientToPlaned("image", "axial")({"image": load(items[k]["image"])[None]})["image"]
        assert np.array_equal(store[k]["image"].numpy(), expected.numpy()), items[k]
    slow, fast = milliseconds(whole, max(5, 300 // max(1, size // 1_000_000))), milliseconds(one, 3000)
    stored = sum(case.path.stat().st_size for case in store.stored)
    row = {"data": name, "LoadImage_ms": slow, "store_ms": fast, "ratio": slow / fast, "size": stored / size}
    return row | {"build_s": built, "slices": sum(case.depth for case in store.stored)}, store


def throughput(store: SliceStore, workers: int, modality: Any) -> float:
    """Scaled samples a second through MONAI's loader, in batches of 16; small slices are padded to 64 x 64."""
    keys = [key for key in ("image", "label") if key in store[0]]
    size = (64, 64) if modality == "mr" else store.stored[0].shape[1:3]
    transform = Compose([ScaleIntensityByModalityd("image", modality), ResizeWithPadOrCropd(keys, size)])
    dataset = SliceDataset(store, transform, samples=2048)
    loader = DataLoader(dataset, batch_size=16, num_workers=workers, persistent_workers=workers > 0)
    rates = []
    for epoch in range(3):  # the first starts the workers
        dataset.set_epoch(epoch)
        start = time.perf_counter()
        count = sum(len(batch["image"]) for batch in loader)
        rates.append(count / (time.perf_counter() - start))
    return max(rates)


def alternatives(path: Path, work: Path) -> list[dict[str, Any]]:
    """Other ways to keep the slices of one volume, each with one chunk per slice where it has chunks."""
    image = nib.load(path)
    array = np.ascontiguousarray(np.moveaxis(np.asarray(image.dataobj), -1, 0))
    gz, rng, rows = path.stat().st_size, np.random.default_rng(0), []

    def add(name: str, checked: str, target: Path, read: Callable[[int], Any]) -> None:
        assert np.array_equal(read(7), array[7])
        files = [target] if target.is_file() else [f for f in target.rglob("*") if f.is_file()]
        fast = milliseconds(lambda: read(int(rng.integers(len(array)))), 300)
        rows.append(
            {"kept as": name, "checksums": checked, "ms": fast, "size": sum(f.stat().st_size for f in files) / gz}
        )

    np.save(work / "x.npy", array)
    add(".npy, mapped", "no", work / "x.npy", lambda k: np.load(work / "x.npy", mmap_mode="r")[k].copy())
    codec = {"codec": blosc2.Codec.LZ4HC, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
    blocks = (1, *array.shape[1:])
    blosc2.asarray(array, chunks=blocks, blocks=blocks, urlpath=str(work / "x.b2nd"), mode="w", cparams=codec)
    opened = blosc2.open(str(work / "x.b2nd"), mode="r", dparams={"nthreads": 1})
    add("blosc2 NDArray, LZ4HC", "no", work / "x.b2nd", lambda k: opened[k])
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    for shards, name in ((None, "zarr 3, a file per chunk"), (array.shape, "zarr 3, one shard")):
        target = work / f"{shards is None}.zarr"
        compressors = [BloscCodec(cname="lz4hc", clevel=5, shuffle="shuffle"), Crc32cCodec()]
        made = zarr.create_array(
            str(target), shape=array.shape, dtype=array.dtype, chunks=blocks, shards=shards, compressors=compressors
        )
        made[:] = array
        kept = zarr.open_array(str(target), mode="r")
        add(f"{name}, LZ4HC", "of chunks", target, partial(operator.getitem, kept))
    return rows


def _build_big(path: str, store: str, sent: Any) -> None:
    """Builds a store and sends the peaks of resident and of anonymous memory above where it began, in MB."""
    import monai_dino.data.slice_builder  # noqa: F401 - so that imports do not count

    def now() -> tuple[float, float]:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return tuple(int(lines[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon"))  # type: ignore[return-value]

    SliceStore([{"image": path.replace("big", "small")}], store, num_workers=1, progress=False)
    before, peak, done = now(), [0.0, 0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[:] = [max(a, b) for a, b in zip(peak, now(), strict=True)]

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    SliceStore([{"image": path}], store, num_workers=1, progress=False)
    taken = time.perf_counter() - start
    done.set()
    watcher.join()
    sent.put({"seconds": taken, "resident_MB": peak[0] - before[0], "anonymous_MB": peak[1] - before[1]})


def big_build(small: Path, work: Path) -> dict[str, Any]:
    """Memory while a volume of 1 GiB is stored."""
    array = np.asarray(nib.load(small).dataobj)
    repeats = [-(-wanted // have) for wanted, have in zip(BIG, array.shape, strict=True)]
    volume = np.tile(array, repeats)[: BIG[0], : BIG[1], : BIG[2]]
    volume += np.random.default_rng(0).integers(-3, 4, volume.shape, dtype=np.int16)
    shutil.copy(small, work / "small.nii.gz")
    with nib.openers.Opener(work / "big.nii.gz", "wb", compresslevel=1) as stream:
        nib.Nifti1Image(volume, np.eye(4)).to_stream(stream)
    context = multiprocessing.get_context("spawn")
    sent = context.Queue()
    process = context.Process(target=_build_big, args=(str(work / "big.nii.gz"), str(work / "big"), sent))
    process.start()
    found: dict[str, Any] = sent.get()
    process.join()
    stored = sum(f.stat().st_size for f in (work / "big").glob("*big-*.slices"))
    return found | {"volume_MB": volume.nbytes / 2**20, "size": stored / (work / "big.nii.gz").stat().st_size}


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    head = list(rows[0])
    shown = [[f"{row[k]:.3g}" if isinstance(row[k], float) else str(row[k]) for k in head] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *shown))


def main() -> None:
    """Measures, and writes benchmarks/results/slice_store.md and .json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of abdomen_ct and hippocampus_mr")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows, rates = [], []
        for name, items in cases_of(options.data, work).items():
            row, store = row_of(name, items, work)
            rows.append(row)
            modality = "mr" if name.endswith("mr") else "ct"
            rates.append({"data": name} | {f"{n} workers": throughput(store, n, modality) for n in (0, 1, 2)})
            print(rows[-1], rates[-1], flush=True)
        others = alternatives(work / "large.nii.gz", work)
        big = big_build(work / "large.nii.gz", work)
    results = {"reading": rows, "throughput": rates, "alternatives": others, "1 GiB": [big]}
    (ROOT / "results" / "slice_store.json").write_text(json.dumps(results, indent=1) + "\n")
    page = (ROOT / "results" / "slice_store.md").read_text().split("<!-- tables -->")[0]
    titles = {
        "reading": "One random slice", "throughput": "Samples a second", "alternatives": "Other ways to keep slices",
        "1 GiB": "Storing a volume of 1 GiB",
    }  # fmt: skip
    text = "\n\n".join(f"## {titles[key]}\n\n{table(found)}" for key, found in results.items())
    (ROOT / "results" / "slice_store.md").write_text(f"{page}<!-- tables -->\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
