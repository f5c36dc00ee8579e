# SPDX-License-Identifier: Apache-2.0
"""Datasets of whole cases, whose errors name the case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from monai.data import CacheDataset

from monai_dino.data.epoch import Epoch
from monai_dino.data.seeded import of_this_thread, seeded
from monai_dino.errors import InputError, MonaiDinoError

__all__ = ["CaseDataset", "naming_case"]


class CaseDataset(CacheDataset):
    """Cases read, checked and prepared once, at the start, with a progress bar.

    MONAI's :class:`~monai.data.CacheDataset` with three differences: an error names the case; the cache is not copied
    when a case is taken, so what follows must not change it in place; and random transforms are a function of
    (seed, epoch, index) alone.

    Args:
        data: items of a datalist.
        transform: a :class:`monai.transforms.Compose`; what comes before its first random transform is done once.
        cache: whether the prepared cases are kept in memory; float32 volumes take 4 bytes a voxel.
        num_workers: threads that read.
        progress: whether to show a progress bar.
        seed: seed of the run.

    Raises:
        InputError: when there are no items, or when a case cannot be prepared.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[..., Any],
        cache: bool = True,
        num_workers: int = 2,
        progress: bool = True,
        seed: int = 0,
    ) -> None:
        if not data:
            raise InputError("there are no cases; check dataset_dir, and which part of the datalist is asked for")
        self.epoch = Epoch(seed)
        super().__init__(
            data=data,
            transform=transform,
            cache_rate=1.0 if cache else 0.0,
            num_workers=num_workers,
            progress=progress,
            copy_cache=False,
        )

    @property
    def transform(self) -> Any:
        """What is done with a case, as the calling thread may use it."""
        return of_this_thread(self._transforms)

    @transform.setter
    def transform(self, transform: Any) -> None:
        self._transforms = transform

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next cases belong to; call it before the loader is iterated.

        Args:
            epoch: number of the epoch.
        """
        self.epoch.number = epoch

    def _load_cache_item(self, idx: int) -> Any:
        with naming_case(self.data[idx]):
            return super()._load_cache_item(idx)

    def _transform(self, index: int) -> Any:
        with naming_case(self.data[index]):
            seeded(self._transforms, self.epoch.generator(index % len(self)))
            return super()._transform(index)


@contextmanager
def naming_case(item: Mapping[str, Any]) -> Iterator[None]:
    """Turns what goes wrong with a case into one error that names it.

    MONAI wraps whatever a transform raises into a RuntimeError; an error of this package is taken out of it again.

    Args:
        item: the case's item of the datalist.

    Raises:
        InputError: in place of any other error.
    """
    try:
        yield
    except Exception as error:  # any transform, any reason
        reason: BaseException = error
        while not isinstance(reason, MonaiDinoError) and reason.__cause__ is not None:
            reason = reason.__cause__
        if isinstance(reason, MonaiDinoError):
            raise reason from None
        named = item.get("image", item)
        raise InputError(f"{named}: the case cannot be prepared ({type(reason).__name__}: {reason})") from error
