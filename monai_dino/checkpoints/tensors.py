# SPDX-License-Identifier: Apache-2.0
"""Named tensors as safetensors, through ``torch.distributed.checkpoint``: saved by any processes, loaded by any others.

Nothing is pickled or unpickled: the storage classes for Hugging Face's format keep what they need in the headers of the
files. They keep bits, also of scalars and empty tensors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor

__all__ = ["TensorInfo", "load_tensors", "savable", "save_tensors", "tensors_in"]

FILE_SIZE = 1 << 28


@dataclass(frozen=True)
class TensorInfo:
    """What a checkpoint says of a tensor, before it is loaded.

    Attributes:
        shape: its shape, of the whole where several processes saved their shards.
        dtype: type of its elements.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"

    @classmethod
    def of(cls, tensor: Tensor) -> TensorInfo:
        """Describes a tensor."""
        return cls(tuple(tensor.shape), tensor.dtype)


class _Writer(dcp.HuggingFaceStorageWriter):
    """Remembers, on the first process, which files all processes wrote."""

    files: tuple[str, ...] = ()

    def finish(self, metadata: Any, results: list[list[Any]]) -> None:
        super().finish(metadata, results)
        self.files = tuple(sorted({item.storage_data.relative_path for items in results for item in items}))


def savable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that safetensors takes: contiguous, and no two in the same memory.

    Raises:
        ValueError: for a name that the format keeps for itself.
    """
    if "__metadata__" in tensors:
        raise ValueError("a tensor cannot be saved under the name '__metadata__'; give it another")
    seen: set[int] = set()
    ready = {}
    for name, tensor in tensors.items():
        kept = tensor.detach().contiguous()
        local = kept.to_local() if isinstance(kept, DTensor) else kept
        memory = local.untyped_storage().data_ptr()
        ready[name] = kept.clone() if memory in seen and local.numel() else kept
        seen.add(memory)
    return ready


def save_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Writes tensors, synced; every process calls it with the same names.

    A plain tensor is taken to be the same on all processes, and is written by one of them.

    Args:
        folder: an empty folder that all processes see.
        tensors: what :func:`savable` made.

    Returns:
        On the first process, the names of all files.
    """
    # A file is put together in memory before it is written, which takes twice its size.
    index, size, files = 1, 0, {}
    for name, tensor in tensors.items():
        bytes_ = tensor.numel() * tensor.element_size()
        if size and size + bytes_ > FILE_SIZE:
            index, size = index + 1, 0
        files[name], size = index, size + bytes_
    writer = _Writer(str(folder), fqn_to_index_mapping=files or None, save_distributed=True)
    _run(lambda: dcp.save(dict(tensors), storage_writer=writer))
    return writer.files


def tensors_in(folder: Path) -> dict[str, TensorInfo]:
    """Reads names, shapes and types.

    Raises:
        ValueError: when a file is none of tensors, or a tensor is not there as a whole.
    """
    try:
        found = dcp.HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    except (KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"the files of tensors have headers that cannot be read ({error!r})") from error
    infos = {}
    for name, facts in found.items():
        if (
            not isinstance(facts, TensorStorageMetadata)
            or sum(c.sizes.numel() for c in facts.chunks) != facts.size.numel()
        ):
            raise ValueError(f"{name}: parts of it are not there, or more than once")
        infos[name] = TensorInfo(tuple(facts.size), facts.properties.dtype)
    return infos


def load_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Loads tensors in place; every process calls it with the same names.

    Args:
        folder: where they were saved.
        tensors: plain or distributed ones of the saved shapes and types; there may be fewer than were saved.
    """
    wanted = {name: tensor.detach() for name, tensor in tensors.items()}
    _run(lambda: dcp.load(wanted, storage_reader=dcp.HuggingFaceStorageReader(str(folder))))


def _run(work: Callable[[], object]) -> None:
    """Does what raises ``CheckpointException``, no ``Exception``, on all processes when something fails on one."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            work()
    except CheckpointException as error:
        causes = {rank: failure[0] for rank, failure in error.failures.items()}
        for cause in causes.values():
            if not isinstance(cause, Exception):  # the user's interruption, for one
                raise cause from error
        reasons = "; ".join(
            f"process {rank}: {cause}" if isinstance(cause, OSError) else f"process {rank}: {cause!r}"
            for rank, cause in causes.items()
        )
        system = any(isinstance(cause, OSError) for cause in causes.values())
        raise (OSError if system else ValueError)(reasons) from error
