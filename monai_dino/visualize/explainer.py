# SPDX-License-Identifier: Apache-2.0
"""What an encoder makes of images, patch by patch: attention and colours of its features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from monai.networks.utils import eval_mode
from torch import nn
from tqdm import tqdm

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.inferers.slices import slice_batches
from monai_dino.networks.encoders.attention import cls_attention
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.nets.build import check_image_size, resize_to
from monai_dino.transforms.slices import slice_indices
from monai_dino.visualize.patch_pca import PatchPca, fit_patch_pca

__all__ = ["DinoExplainer", "fit_explainer"]

_CASES, _SLICES = 32, 4  # that the colours are fitted to, at most


class DinoExplainer(nn.Module):
    """Gives for each patch the attention of the class token, per head, and the colours of its feature.

    Args:
        encoder: the encoder.
        pca: what makes the colours.
        block: block that attention is taken from; negative ones count from the end.

    Raises:
        ConfigurationError: for a block that the encoder does not have.
    """

    def __init__(self, encoder: DinoEncoder, pca: PatchPca, block: int = -1) -> None:
        super().__init__()
        if not -encoder.num_blocks <= block < encoder.num_blocks:
            raise ConfigurationError(f"block={block}: the encoder has blocks 0 to {encoder.num_blocks - 1}")
        self.encoder = encoder
        self.pca = pca
        self.block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Explains images.

        Args:
            x: in [0, 1], shape (B, in_channels, H, W).

        Returns:
            Shape (B, heads + 3, h, w): the attention of :func:`~monai_dino.networks.cls_attention`, then
            :meth:`PatchPca.colours` of the features after the last block.
        """
        attention = cls_attention(self.encoder, x, [self.block])[0]
        return torch.cat([attention, self.pca.colours(self.encoder.intermediate(x, [-1])[0])], dim=1)


def fit_explainer(
    encoder: DinoEncoder,
    cases: Any,
    image_size: int | None = 224,
    neighbours: int = 0,
    block: int = -1,
    remove_background: bool = True,
) -> DinoExplainer:
    """Makes an explainer whose colours mean the same in all cases.

    They are fitted to the patches of up to 4 slices of each of up to 32 cases together, both evenly spaced.

    Args:
        encoder: the encoder, on its device.
        cases: sequence of mappings with ``image``, shape (C, H, W, slices), in [0, 1].
        image_size: side of the square that slices are resized to; ``None`` keeps their size.
        neighbours: slices on each side that are stacked as further channels, as in training.
        block: block that attention is taken from.
        remove_background: see :func:`fit_patch_pca`.

    Returns:
        The explainer.

    Raises:
        InputError: when there are no cases.
        ConfigurationError: for an image size that is not a multiple of the patch, and as :class:`DinoExplainer`.
    """
    check_image_size(image_size, encoder.patch_size)
    if len(cases) == 0:
        raise InputError("there are no cases to explain; check dataset_dir")
    device = next(encoder.parameters()).device
    features: list[torch.Tensor] = []
    with eval_mode(encoder):
        for number in tqdm(_spread(len(cases), _CASES), desc="Fitting colours", unit="case", leave=False):
            volume = torch.as_tensor(cases[number]["image"]).as_subclass(torch.Tensor)
            chosen = _spread(volume.shape[-1], _SLICES)
            for x in _slices(volume, chosen, neighbours):
                features += encoder.intermediate(resize_to(x.to(device), image_size), [-1])[0].cpu()
    return DinoExplainer(encoder, fit_patch_pca(features, remove_background), block)


def _spread(count: int, most: int) -> Sequence[int]:
    return [int(k) for k in slice_indices(np.full(min(count, most), 0.5), count)]


def _slices(volume: torch.Tensor, chosen: Sequence[int], neighbours: int) -> Iterable[torch.Tensor]:
    for which, x in slice_batches(volume[None], 1, neighbours):
        if which.start in chosen:
            yield x
