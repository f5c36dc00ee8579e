# SPDX-License-Identifier: Apache-2.0
"""Every value of a self-supervised training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from monai_dino.errors import ConfigurationError

__all__ = ["Centering", "RateScaling", "SslSettings"]

Centering = Literal["sinkhorn_knopp", "softmax"]
RateScaling = Literal["sqrt_1024", "linear_256", "none"]


@dataclass(frozen=True)
class SslSettings:
    """The values of a self-supervised training. Lengths are shares of the run, so that they suit one of any length.

    Args:
        dino_weight: weight of the loss between class tokens of different views.
        ibot_weight: weight of the loss of masked patches (iBOT, Zhou et al. 2022).
        koleo_weight: weight of the loss that spreads class tokens over the batch.
        gram_weight: weight of Gram anchoring (DINOv3, Siméoni et al. 2025, section 4). Unlike there, the Gram teacher
            sees the student's own global views, augmented and at their size, not undistorted ones of twice the side.
        gram_start: share of the run after which Gram anchoring begins, with the teacher of that moment.
        gram_refresh: steps after which the Gram teacher is replaced by the present teacher.
        gram_refreshes: how often it is replaced; the last one then stays.
        centering: how the teacher's targets are kept from collapsing.
        center_momentum: momentum of the centre, with softmax centring.
        student_temp: temperature of the student's softmax.
        teacher_temp: temperature of the teacher's softmax.
        teacher_temp_start: the same at the first step, from where it rises linearly.
        teacher_temp_warmup: share of the run in which it rises.
        prototypes: outputs K of the heads.
        head_hidden_dim: width of the heads' hidden layers.
        head_bottleneck_dim: width of what the prototypes are compared with.
        head_layers: layers of the heads' MLP.
        norm_last_layer: whether prototypes keep a length of one.
        separate_ibot_head: whether patches have a head of their own.
        drop_path: share of images that a residual branch of the student leaves out.
        base_learning_rate: learning rate before scaling by the batch size.
        rate_scaling: ``sqrt_1024``: times the square root of batch / 1024; ``linear_256``: times batch / 256; ``none``.
        learning_rate: the peak itself; ``None`` derives it from the two above and the batch size.
        min_learning_rate: learning rate at the end; ``None`` takes the peak, so that it stays constant. Through a
            preset ``None`` keeps the preset's: give the peak itself, as ``learning_rate`` and here.
        warmup: share of the run in which the learning rate rises.
        weight_decay: at the first step.
        weight_decay_end: at the last one.
        momentum: of the teacher's average at the first step.
        momentum_end: at the last one.
        beta2: second moment's decay in AdamW.
        clip_norm: largest norm of the gradient of the encoder and of each head.
        freeze_last_layer: share of the run in which the prototypes stay as they are.
        layer_decay: factor of the learning rate from one block to the one before it.
        patch_embed_rate: factor of the learning rate of the patch embedding.
        encoder_rate: factor of the learning rate of the encoder; ``None`` takes 0.1 where it starts from weights, which
            larger steps would undo, and 1 where it starts at random. The heads are new in both cases.
        head_warmup: share of the run in which the encoder stays as it is while the heads learn; ``None`` takes 0.1
            where the encoder starts from weights, since those come without heads, and 0 where it starts at random. Its
            rate then rises over ``warmup`` of its own.

    Raises:
        ConfigurationError: for a value that cannot work.
    """

    dino_weight: float = 1.0
    ibot_weight: float = 1.0
    koleo_weight: float = 0.1
    gram_weight: float = 0.0
    gram_start: float = 0.83
    gram_refresh: int = 10000
    gram_refreshes: int = 3
    centering: Centering = "sinkhorn_knopp"
    center_momentum: float = 0.9
    student_temp: float = 0.1
    teacher_temp: float = 0.07
    teacher_temp_start: float = 0.04
    teacher_temp_warmup: float = 0.3
    prototypes: int = 65536
    head_hidden_dim: int = 2048
    head_bottleneck_dim: int = 256
    head_layers: int = 3
    norm_last_layer: bool = False
    separate_ibot_head: bool = True
    drop_path: float = 0.3
    base_learning_rate: float = 4e-3
    rate_scaling: RateScaling = "sqrt_1024"
    learning_rate: float | None = None
    min_learning_rate: float | None = 1e-6
    warmup: float = 0.1
    weight_decay: float = 0.04
    weight_decay_end: float = 0.4
    momentum: float = 0.992
    momentum_end: float = 1.0
    beta2: float = 0.999
    clip_norm: float = 3.0
    freeze_last_layer: float = 0.01
    layer_decay: float = 0.9
    patch_embed_rate: float = 0.2
    encoder_rate: float | None = None
    head_warmup: float | None = None

    def __post_init__(self) -> None:
        for name in ("norm_last_layer", "separate_ibot_head"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected True or False")
        _require_numbers(self)
        _require_within(self, 0.0, 1.0, _SHARES)
        _require_within(self, 0.0, math.inf, _NOT_NEGATIVE)
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name}={getattr(self, name)}: expected a number above 0")
        if self.dino_weight + self.ibot_weight <= 0:
            raise ConfigurationError("dino_weight and ibot_weight are both 0: the teacher would teach nothing")
        if self.centering not in get_args(Centering):
            raise ConfigurationError(
                f"centering: unknown {self.centering!r}, expected one of {', '.join(get_args(Centering))}"
            )
        if self.rate_scaling not in get_args(RateScaling):
            raise ConfigurationError(
                f"rate_scaling: unknown {self.rate_scaling!r}, expected one of {', '.join(get_args(RateScaling))}"
            )
        if self.drop_path >= 1:
            raise ConfigurationError(f"drop_path={self.drop_path}: expected a share below 1")

    def resolved(self, batch_size: int, pretrained: bool) -> SslSettings:
        """The settings with every value that depends on the run filled in.

        Args:
            batch_size: images of a step, over all processes.
            pretrained: whether the encoder starts from weights.

        Returns:
            Settings without ``None``.

        Raises:
            ConfigurationError: when the batch holds no image.
        """
        if batch_size < 1:
            raise ConfigurationError(f"batch_size={batch_size}: expected at least one image")
        scale = {"sqrt_1024": math.sqrt(batch_size / 1024), "linear_256": batch_size / 256, "none": 1.0}
        rate, warmup = self.learning_rate, self.head_warmup
        rate = self.base_learning_rate * scale[self.rate_scaling] if rate is None else rate
        warmup = (0.1 if pretrained else 0.0) if warmup is None else warmup
        factor = (0.1 if pretrained else 1.0) if self.encoder_rate is None else self.encoder_rate
        least = rate if self.min_learning_rate is None else self.min_learning_rate
        return replace(self, learning_rate=rate, min_learning_rate=least, head_warmup=warmup, encoder_rate=factor)

    def summary(self, batch_size: int, steps: int) -> str:
        """What was resolved, in a line for those who start a run.

        Args:
            batch_size: images of a step, over all processes.
            steps: steps of the run.

        Returns:
            The line.
        """
        encoder = "" if self.encoder_rate in (None, 1) else f", of the encoder {self.encoder_rate:g} times as much,"
        heads = f"; the heads alone for the first {round((self.head_warmup or 0) * steps)}" if self.head_warmup else ""
        return (
            f"{steps} steps of {batch_size} slices{heads}; learning rate {self.learning_rate:.3g}{encoder} after "
            f"{round(self.warmup * steps)} steps, {self.prototypes} prototypes, {self.centering}, momentum "
            f"{self.momentum:g} to {self.momentum_end:g}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The values as JSON can hold them."""
        return asdict(self)


_SHARES = (
    *("gram_start", "center_momentum", "teacher_temp_warmup", "drop_path", "warmup", "momentum", "momentum_end"),
    *("beta2", "freeze_last_layer", "layer_decay", "head_warmup"),
)
_NOT_NEGATIVE = (
    *("dino_weight", "ibot_weight", "koleo_weight", "gram_weight", "base_learning_rate", "learning_rate"),
    *("min_learning_rate", "weight_decay", "weight_decay_end", "patch_embed_rate", "gram_refreshes"),
    "encoder_rate",
)
_WHOLE = ("gram_refresh", "prototypes", "head_hidden_dim", "head_bottleneck_dim", "head_layers")
_POSITIVE = (*_WHOLE, "student_temp", "teacher_temp", "teacher_temp_start", "clip_norm")
_OPTIONAL = ("learning_rate", "min_learning_rate", "head_warmup", "encoder_rate")


def _require_numbers(settings: SslSettings) -> None:
    for name in {*_SHARES, *_NOT_NEGATIVE, *_POSITIVE}:
        value = getattr(settings, name)
        kinds = int if name in (*_WHOLE, "gram_refreshes") else (int, float)
        if isinstance(value, bool) or not (isinstance(value, kinds) or (value is None and name in _OPTIONAL)):
            raise ConfigurationError(f"{name}={value!r}: expected a {'whole ' if kinds is int else ''}number")


def _require_within(settings: SslSettings, low: float, high: float, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(settings, name)
        if value is not None and not low <= value <= high:
            wanted = "a share from 0 to 1" if high == 1 else "a number that is not negative"
            raise ConfigurationError(f"{name}={value}: expected {wanted}")
