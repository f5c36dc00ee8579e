# SPDX-License-Identifier: Apache-2.0
"""The slice store: cases decoded and checked once, of which any slice is read in a fraction of a millisecond."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from monai_dino.data.case_dataset import naming_case
from monai_dino.data.checks import check_classes
from monai_dino.data.naming import case_name
from monai_dino.data.slice_builder import FORMAT, StoreSettings, build_slice_file
from monai_dino.data.slice_file import SliceFile, SliceFileWriter
from monai_dino.data.sources import paths_of, source_files, stamp, unchanged
from monai_dino.data.stored_case import StoredCase
from monai_dino.errors import ConfigurationError, InputError, MonaiDinoError
from monai_dino.files import written_whole
from monai_dino.transforms.plane import Plane

__all__ = ["SliceStore"]

_LOGGER = logging.getLogger(__name__)
_SHOWN = 10


class SliceStore(Sequence[dict[str, Any]]):
    """Cases in a folder of slice files; those that are not there yet, or whose files changed, are stored first.

    Each case is a file of its own, written whole or not at all under a lock: a build may be killed and continued, and
    several processes may build one store at once. A case is known by the paths of its files and the settings; it is
    stored again when the time or size of a file changed and its SHA-256 too. As a sequence it gives whole cases, see
    :meth:`StoredCase.volume_item`; :class:`SliceDataset` gives slices.

    Args:
        cases: items of a datalist with ``image`` and, possibly, ``label`` (a mask, or a class, which is passed on).
        store_dir: folder of the store; it is made.
        plane: plane of the slices: ``axial``, ``coronal`` or ``sagittal``.
        in_channels: channels that an image must have.
        out_channels: number of classes that masks may hold, the background included; ``None`` does not ask for masks.
        modality: modality of the images, kept with them.
        fill: value that voxels which are not finite get, with a logged count; ``None`` refuses them.
        num_workers: threads that store cases.
        progress: whether to show a progress bar while cases are stored.

    Attributes:
        stored: the cases, in order.

    Raises:
        ConfigurationError: when the folder cannot be made.
        InputError: when there are no cases; when cases cannot be stored, all of which are named (the others are
            stored); when a case has no mask, or one that holds an undeclared class, though classes are declared.
    """

    def __init__(
        self,
        cases: Sequence[Mapping[str, Any]],
        store_dir: str | Path,
        plane: Plane = "axial",
        in_channels: int = 1,
        out_channels: int | None = None,
        modality: str | None = None,
        fill: float | None = None,
        num_workers: int = 2,
        progress: bool = True,
    ) -> None:
        if not cases:
            raise InputError("there are no cases; check dataset_dir, and which part of the datalist is asked for")
        self.store_dir = Path(store_dir).absolute()
        self.settings = StoreSettings(plane, in_channels, modality, fill)
        self._make_folder()
        self._sweep()
        found = [self._find(item) for item in cases]
        missing = [index for index, case in enumerate(found) if case is None]
        if missing:
            self._build([cases[i] for i in missing], max(1, num_workers), progress)
        self.stored = [case or self._open(item) for case, item in zip(found, cases, strict=True)]
        if out_channels is not None:
            for case in self.stored:
                _check_mask(case, out_channels)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: Any) -> Any:
        """Reads a whole case.

        Args:
            index: its place in the store.

        Returns:
            See :meth:`StoredCase.volume_item`.
        """
        return self.stored[index].volume_item()

    def _make_folder(self) -> None:
        try:
            (self.store_dir / ".locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"store_dir: {self.store_dir} cannot be made ({error}); give another") from error

    def _lock(self, name: str, timeout: float = -1) -> FileLock:
        return FileLock(self.store_dir / ".locks" / f"{name}.lock", timeout=timeout)

    def _sweep(self) -> None:
        """Removes what killed builds left, but not what another process is at work on."""
        for prefix in (".scratch-", ".part-"):
            for left in self.store_dir.glob(f"{prefix}*"):
                with suppress(Timeout), self._lock(left.name.removeprefix(prefix), timeout=0):
                    shutil.rmtree(left, ignore_errors=True)
                    left.unlink(missing_ok=True)

    def _path(self, item: Mapping[str, Any]) -> Path:
        files = [[str(p) for p in paths_of(item[key])] for key in ("image", "label") if key in item]
        key = hashlib.sha256(json.dumps([FORMAT, asdict(self.settings), files]).encode()).hexdigest()[:16]
        name = re.sub(r"[^\w.-]+", "_", str(item.get("case") or case_name(item["image"])))[-60:].lstrip(".")
        return self.store_dir / f"{name}-{key}.slices"

    def _open(self, item: Mapping[str, Any]) -> StoredCase:
        return StoredCase(self._path(item), item)

    def _find(self, item: Mapping[str, Any]) -> StoredCase | None:
        """The stored case, where it is there, and its files are as old as they were."""
        path = self._path(item)
        if not path.exists():
            return None
        try:
            case = self._open(item)
        except InputError as error:
            _LOGGER.warning("%s (it is stored again)", error)
            return None
        with suppress(InputError):  # a file is gone, which is said when the case is to be stored again
            if _stamps(item) == [{**source, "sha256": None} for source in case.sources]:
                return case
        return None

    def _build(self, items: Sequence[Mapping[str, Any]], num_workers: int, progress: bool) -> None:
        failed: list[Exception] = []
        # Each process begins elsewhere, so that several that build one store share the work.
        start = random.SystemRandom().randrange(len(items))
        bar = tqdm(total=len(items), desc="Storing slices", unit="case", disable=not progress)
        with bar, ThreadPoolExecutor(num_workers) as pool:
            try:
                for done in as_completed([pool.submit(self._store, item) for item in (*items[start:], *items[:start])]):
                    if (error := done.exception()) is None:
                        bar.update(1)
                    elif isinstance(error, MonaiDinoError):
                        failed.append(error)
                    else:
                        raise error
            finally:
                pool.shutdown(cancel_futures=True)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            listed = "\n  ".join(str(error) for error in failed[:_SHOWN])
            more = f"\n  and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
            raise InputError(f"{len(failed)} of {len(items)} cases cannot be stored:\n  {listed}{more}")
        size = sum(self._path(item).stat().st_size for item in items)
        _LOGGER.info("stored %d cases in %s (%.1f MB)", len(items), self.store_dir, size / 1e6)

    def _renew(self, item: Mapping[str, Any], path: Path) -> bool:
        """Whether a stored case is still right although its files are newer; then it learns their times."""
        try:
            known = SliceFile(path).header["sources"]
        except InputError:
            return False
        stamps = _stamps(item)
        if not unchanged(known, source_files(item)):
            _LOGGER.warning("%s: its files were changed since it was stored; it is stored again", item["image"])
            return False
        _restamp(path, [{**new, "sha256": old["sha256"]} for new, old in zip(stamps, known, strict=True)])
        return True

    def _store(self, item: Mapping[str, Any]) -> None:
        path = self._path(item)
        scratch = path.with_name(f".scratch-{path.name}")
        with naming_case(item), self._lock(path.name):
            if self._find(item) is not None or self._renew(item, path):  # another process may have been faster
                return
            scratch.mkdir(exist_ok=True)
            try:
                build_slice_file(item, self.settings, path, scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)


def _check_mask(case: StoredCase, out_channels: int) -> None:
    label = case.item.get("label")
    if case.labels is None:
        raise InputError(
            f"{case.item['image']}: has no mask (label: {label!r}); add one to the datalist, or take the case out"
        )
    check_classes(case.label_voxels, out_channels, str(label))
    if not any(case.labels):
        _LOGGER.info("%s: no voxel is labelled; the case counts as one without findings", label)


def _stamps(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**stamp(file), "sha256": None} for file in source_files(item)]


def _restamp(path: Path, sources: list[dict[str, Any]]) -> None:
    """Writes a file's index anew, with the new times of its unchanged sources."""
    header = SliceFile(path).header
    with written_whole(path) as partial, partial.open("wb") as target, path.open("rb") as source:
        target.write(source.read(header["end"]))
        SliceFileWriter(target).finish({**header, "sources": sources})
