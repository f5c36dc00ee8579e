# SPDX-License-Identifier: Apache-2.0
"""Inference on volumes with a 2-D network, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from monai.inferers import Inferer, sliding_window_inference
from monai.utils import convert_to_dst_type

from monai_dino.errors import ConfigurationError
from monai_dino.inferers.autocast import Precision, autocast, check_precision, finite
from monai_dino.inferers.slices import slice_batches
from monai_dino.networks.nets.build import resize_to

__all__ = ["SliceOutput", "SlicewiseInferer"]

SliceOutput = Literal["logits", "probabilities", "labels"]


class SlicewiseInferer(Inferer):
    """Gives the slices along the last axis of a volume to a 2-D network, in batches.

    Args:
        batch_size: slices that the network sees at once.
        output: ``logits``; ``probabilities``, their softmax; or ``labels``, their argmax, which takes one byte a voxel
            however many classes there are.
        neighbours: slices on each side that are stacked as further channels, as in training.
        slice_size: height and width of the window that the network is given, as in training: smaller slices are
            padded to it, larger ones are covered by overlapping windows; ``None`` gives it whole slices.
        resize: side of the square that whole slices are resized to, as in training; the logits are resized back.
            ``None`` keeps their size. It has no effect with ``slice_size``.
        precision: ``auto``, ``fp32`` or ``bf16``; see :func:`monai_dino.inferers.autocast`.

    Raises:
        ConfigurationError: for an unknown output or precision, a batch size below 1, or a slice size that is not two
            numbers.
    """

    def __init__(
        self,
        batch_size: int = 16,
        output: SliceOutput = "logits",
        neighbours: int = 0,
        slice_size: Sequence[int] | None = None,
        resize: int | None = None,
        precision: Precision = "auto",
    ) -> None:
        super().__init__()
        if output not in get_args(SliceOutput):
            raise ConfigurationError(f"output: unknown {output!r}, expected one of {', '.join(get_args(SliceOutput))}")
        if batch_size < 1:
            raise ConfigurationError(f"batch_size must be at least 1, got {batch_size}")
        _check_slice_size(slice_size)
        check_precision(precision)
        self.batch_size = batch_size
        self.output = output
        self.neighbours = neighbours
        self.slice_size = None if slice_size is None else tuple(slice_size)
        self.resize = resize
        self.precision = precision

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Runs the network on each slice.

        Args:
            inputs: volumes, shape (B, C, H, W, D).
            network: maps (N, (2 * neighbours + 1) * C, H, W) to logits (N, K, H, W).
            args: further arguments of the network.
            kwargs: likewise.

        Returns:
            Shape (B, K, H, W, D) in float32, or (B, 1, H, W, D) in uint8 (int32 beyond 256 classes) for labels; with
            the metadata of the input.

        Raises:
            ConfigurationError: when the input is not a batch of volumes.
            NetworkError: when the network's output is not finite.
        """
        if inputs.ndim != 5:
            raise ConfigurationError(f"expected volumes of shape (B, C, H, W, D), got {tuple(inputs.shape)}")
        volumes = inputs.as_subclass(torch.Tensor)
        out: torch.Tensor | None = None
        for which, slices in slice_batches(volumes, self.batch_size, self.neighbours):
            with autocast(self.precision, volumes.device):
                logits = self._forward(slices, network, *args, **kwargs)
            reduced = self._reduce(finite(logits.float(), inputs))
            part = reduced.unflatten(0, (volumes.shape[0], -1))  # (B, N, K, H, W)
            if out is None:
                out = part.new_empty((part.shape[0], *part.shape[2:], volumes.shape[-1]))
            out[..., which] = part.movedim(1, -1)
        assert out is not None  # noqa: S101 - a volume has at least one slice
        result: torch.Tensor = convert_to_dst_type(out, inputs, dtype=out.dtype)[0]
        return result

    def _forward(
        self, slices: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        if self.slice_size is None:
            logits = network(resize_to(slices, self.resize), *args, **kwargs)
            return F.interpolate(logits, size=slices.shape[-2:], mode="bilinear") if self.resize else logits
        windows: Any = sliding_window_inference(
            slices, self.slice_size, self.batch_size, lambda window: network(window, *args, **kwargs), 0.5, "gaussian"
        )
        return torch.as_tensor(windows)

    def _reduce(self, logits: torch.Tensor) -> torch.Tensor:
        if self.output == "probabilities":
            return logits.softmax(dim=1)
        if self.output == "labels":
            return logits.argmax(dim=1, keepdim=True).to(torch.uint8 if logits.shape[1] <= 256 else torch.int32)
        return logits


def _check_slice_size(slice_size: Any) -> None:
    if slice_size is None:
        return
    sizes = list(slice_size) if isinstance(slice_size, (list, tuple)) else []
    if len(sizes) != 2 or not all(isinstance(s, int) and s > 0 for s in sizes):
        raise ConfigurationError(
            f"slice_size={slice_size!r}: expected height and width, such as [96, 96] (on the command line, none is "
            f"written '$None')"
        )
