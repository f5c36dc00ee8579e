# SPDX-License-Identifier: Apache-2.0
"""Mixed precision on any device, as an inferer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from monai_dino.errors import ConfigurationError, NetworkError

__all__ = ["AutocastInferer", "Precision", "autocast", "resolved_precision", "uses_fp16"]

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """The autocast context of a precision.

    Args:
        precision: ``fp32``; ``bf16``; ``fp16``, for GPUs older than bf16; or ``auto``, which is bf16 on CUDA
            devices and on CPUs that compute in it, else fp32.
        device: where the network is.

    Returns:
        The context.

    Raises:
        ConfigurationError: for another name.
    """
    resolved = resolved_precision(precision, device)
    dtype = torch.float16 if uses_fp16(resolved) else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=resolved != "fp32")


def resolved_precision(precision: Precision, device: torch.device) -> str:
    """What a precision comes to on a device.

    Args:
        precision: see :func:`autocast`.
        device: where the network is.

    Returns:
        ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        ConfigurationError: for another name.
    """
    check_precision(precision)
    if precision != "auto":
        return precision
    return "bf16" if _computes_bf16(device) else "fp32"


def uses_fp16(precision: str) -> bool:
    """Whether gradients of a precision need scaling of the loss."""
    return precision == "fp16"


def check_precision(precision: str) -> None:
    """Checks the name of a precision.

    Args:
        precision: the name.

    Raises:
        ConfigurationError: for an unknown one.
    """
    if precision not in get_args(Precision):
        raise ConfigurationError(f"precision: unknown {precision!r}, expected one of {', '.join(get_args(Precision))}")


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


class AutocastInferer(Inferer):
    """Runs the network in mixed precision; the output is float32.

    MONAI's engines know autocast on CUDA only; an inferer serves every device and needs no other engine.

    Args:
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; see :func:`autocast`.

    Raises:
        ConfigurationError: for an unknown precision.
    """

    def __init__(self, precision: Precision = "auto") -> None:
        super().__init__()
        check_precision(precision)
        self.precision = precision

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Runs the network.

        Args:
            inputs: a batch.
            network: what it is given to.
            args: further arguments of the network.
            kwargs: likewise.

        Returns:
            The network's output in float32.

        Raises:
            ConfigurationError: for a training in ``fp16``, whose small gradients would be lost without a scaler.
            NetworkError: when it is not finite.
        """
        if self.precision == "fp16" and torch.is_grad_enabled() and getattr(network, "training", False):
            raise ConfigurationError(
                "precision: fp16 is for networks that are trained already, since nothing scales the gradients of this "
                "training; set precision to bf16 or fp32"
            )
        with autocast(self.precision, inputs.device):
            output = network(inputs, *args, **kwargs)
        return finite(output.float(), inputs)


def finite(output: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Checks that a network's output can be believed; an argmax would turn NaN into the first class.

    Args:
        output: what the network gave.
        inputs: what it was given; a MetaTensor names the case.

    Returns:
        The output.

    Raises:
        NetworkError: when a value is NaN or infinite.
    """
    if not bool(torch.isfinite(output).all()):
        names = inputs.meta.get("filename_or_obj", "a batch") if isinstance(inputs, MetaTensor) else "a batch"
        raise NetworkError(
            f"{names}: the network's output has values that are not finite (NaN or infinite); lower the learning rate, "
            f"set precision to fp32, or train again"
        )
    return output
