# SPDX-License-Identifier: Apache-2.0
"""Features of images: one pass of an encoder, on which every evaluation goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from monai.networks import eval_mode
from tqdm import tqdm

from monai_dino.errors import ConfigurationError, InputError, NetworkError
from monai_dino.evaluation.slice_rows import SliceRows, slice_rows
from monai_dino.inferers.autocast import Precision, autocast
from monai_dino.networks.encoders.encoder import DinoEncoder, EncoderOutput
from monai_dino.networks.nets.embedder import EmbeddingPooling

__all__ = ["Features", "extract_features"]


@dataclass(frozen=True)
class Features:
    """What an encoder makes of slices, or of cases: see :meth:`by_case`.

    Attributes:
        cls: class tokens after chosen blocks and the final norm, float32, shape (N, blocks, D).
        patches: means of the patch tokens there, float32, same shape.
        blocks: numbers of the blocks.
        case: name of the case of each row.
        patient: its patient; the case where none is stated.
        index: number of the slice in its case; -1 for a whole case.
        label: class numbers (N,), or several labels of each (N, L); ``None`` where there are none.
    """

    cls: np.ndarray
    patches: np.ndarray
    blocks: tuple[int, ...]
    case: np.ndarray
    patient: np.ndarray
    index: np.ndarray
    label: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.cls)

    def take(self, rows: np.ndarray | Sequence[int]) -> Features:
        """Some of the rows.

        Args:
            rows: their numbers, or a boolean of each.

        Returns:
            The features of these rows, in their order.
        """
        rows = np.asarray(rows)
        rows = rows if rows.dtype == bool else rows.astype(np.int64)
        return Features(
            self.cls[rows],
            self.patches[rows],
            self.blocks,
            self.case[rows],
            self.patient[rows],
            self.index[rows],
            None if self.label is None else self.label[rows],
        )

    def vectors(self, pooling: EmbeddingPooling = "cls") -> np.ndarray:
        """One vector per row.

        Args:
            pooling: ``cls``, ``patches``, or ``cls+patches``, both beside each other.

        Returns:
            Shape (N, D'), the blocks one after the other.

        Raises:
            ConfigurationError: for another pooling.
        """
        if pooling not in get_args(EmbeddingPooling):
            known = ", ".join(get_args(EmbeddingPooling))
            raise ConfigurationError(f"pooling: unknown value {pooling!r}, expected one of {known}")
        parts = [getattr(self, name) for name in pooling.split("+")]
        return np.concatenate(parts, axis=-1).reshape(len(self), -1)

    def by_case(self) -> Features:
        """The mean over the slices of each case.

        Returns:
            One row per case, in the order in which they first occur.

        Raises:
            InputError: when slices of a case differ in their patient or label; it names the case.
        """
        _, first, inverse = np.unique(self.case, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        group, first = rank[inverse], first[order]
        for what in (self.patient, self.label):
            if what is None:
                continue
            differs = (what != what[first][group]).reshape(len(what), -1).any(axis=1)
            if differs.any():
                raise InputError(
                    f"{self.case[differs.argmax()]}: its slices differ in patient or label; give each case its own name"
                )
        return Features(
            _group_means(self.cls, group),
            _group_means(self.patches, group),
            self.blocks,
            self.case[first],
            self.patient[first],
            np.full(len(first), -1),
            None if self.label is None else self.label[first],
        )


def extract_features(
    encoder: DinoEncoder,
    loader: Iterable[Mapping[str, Any]],
    blocks: Sequence[int] | None = None,
    precision: Precision = "auto",
    batch_size: int = 64,
    progress: bool = True,
) -> Features:
    """Runs an encoder once over all batches of a loader.

    The encoder is in evaluation mode meanwhile, and no random number is drawn here (a ``DataLoader`` draws one from its
    ``generator`` whenever it is iterated).

    Args:
        encoder: the encoder, on its device.
        loader: gives batches with ``image``, slices (B, C, H, W) or volumes (B, C, H, W, slices) in [0, 1], and
            possibly ``case``, ``patient``, ``index`` and ``label``. Masks as labels are left out. Where there is no
            case, it is named after the file of the image.
        blocks: blocks after which features are taken, negative ones counted from the end; ``None`` for the last.
        precision: see :func:`monai_dino.inferers.autocast`.
        batch_size: the most slices that the encoder sees at once.
        progress: whether to show a progress bar.

    Returns:
        The features of each slice, in the loader's order.

    Raises:
        ConfigurationError: for a block that the encoder does not have, or images of another shape.
        InputError: when there are no batches, or some have a label and others none.
        NetworkError: when a feature is not finite; it names the case.
    """
    last = encoder.num_blocks - 1
    if blocks is not None and (not blocks or any(not -last - 1 <= b <= last for b in blocks)):
        raise ConfigurationError(f"blocks {list(blocks)}: the encoder has blocks 0 to {last}")
    wanted = None if blocks is None else [b % encoder.num_blocks for b in blocks]
    device = next(encoder.parameters()).device
    cls: list[torch.Tensor] = []
    patches: list[torch.Tensor] = []
    about: list[SliceRows] = []
    with eval_mode(encoder), tqdm(loader, desc="Features", unit="batch", disable=not progress, leave=False) as bar:
        for number, batch in enumerate(bar):
            for rows in slice_rows(batch, f"batch {number}", batch_size):
                with autocast(precision, device):
                    outputs = _outputs(encoder, rows.images.to(device, torch.float32), wanted)
                cls.append(_finite(torch.stack([out.cls for out in outputs], dim=1), rows))
                patches.append(_finite(torch.stack([out.patches.float().mean(dim=1) for out in outputs], dim=1), rows))
                about.append(rows.without_images())
    if not about:
        raise InputError("features: the loader gives no batches; check dataset_dir, and which part is asked for")
    return Features(
        torch.cat(cls).numpy(),
        torch.cat(patches).numpy(),
        (last,) if wanted is None else tuple(wanted),
        np.array([name for rows in about for name in rows.case]),
        np.array([name for rows in about for name in rows.patient]),
        np.array([number for rows in about for number in rows.index]),
        _labels([rows.label for rows in about]),
    )


def _group_means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    total = np.zeros((group.max() + 1, *values.shape[1:]))
    np.add.at(total, group, values)
    means: np.ndarray = (total / np.bincount(group)[:, None, None]).astype(np.float32)
    return means


def _outputs(encoder: DinoEncoder, x: torch.Tensor, blocks: list[int] | None) -> list[EncoderOutput]:
    if blocks is None:
        return [encoder(x)]
    tokens, rope, grid = encoder.embed(x)
    kept = {}
    for number, block in enumerate(encoder.blocks[: max(blocks) + 1]):
        tokens = block(tokens, **rope)
        if number in blocks:
            kept[number] = encoder.output(tokens, grid)
    return [kept[b] for b in blocks]


def _finite(features: torch.Tensor, rows: SliceRows) -> torch.Tensor:
    features = features.float().cpu()
    if bad := (~features.isfinite().flatten(1).all(dim=1)).nonzero()[:, 0].tolist():
        raise NetworkError(
            f"{rows.case[bad[0]]}: the features of slice {rows.index[bad[0]]} are not finite (NaN or infinite); check "
            f"the weights, or set precision to fp32"
        )
    return features


def _labels(found: list[np.ndarray | None]) -> np.ndarray | None:
    given = [label for label in found if label is not None]
    if given and len(given) < len(found):
        raise InputError("label: some batches have labels and others none; label every case, or none")
    return np.concatenate(given) if given else None
