# SPDX-License-Identifier: Apache-2.0
"""Guards around training: that there is something to learn from, and that a trained file fits its network."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from torch import nn

from monai_dino.errors import ConfigurationError, WeightsError
from monai_dino.networks.adaptation import count_parameters
from monai_dino.networks.encoders.state_files import read_state_file
from monai_dino.networks.misfits import misfits
from monai_dino.networks.nets.classifier import DinoClassifier
from monai_dino.networks.nets.segmenter import DinoSegmenter

__all__ = ["load_trained", "require_pretrained"]

Network = TypeVar("Network", bound=nn.Module)


def require_pretrained(network: DinoSegmenter | DinoClassifier, weights: str | Path | None) -> None:
    """Checks that an encoder with random weights is not kept as it is.

    Args:
        network: the network.
        weights: where its encoder's weights come from; ``None`` for random ones.

    Raises:
        ConfigurationError: when the weights are random and most of the encoder is not trained.
    """
    count = count_parameters(network.encoder)
    if weights is None and count.trainable < 0.5 * count.total:
        raise ConfigurationError(
            "weights: none are given, so the adaptation would keep an encoder of random weights; name a Hugging Face "
            "folder or hub id (such as facebook/dinov2-small) or a checkpoint as `weights`, or set `adaptation` to full"
        )


def load_trained(network: Network, path: str | Path) -> Network:
    """Loads the state dict that training wrote, strictly.

    Args:
        network: a network built with the same settings.
        path: file written by :class:`monai_dino.handlers.BestModelHandler`.

    Returns:
        The network.

    Raises:
        WeightsError: when the file is missing or damaged, or does not fit; it names every name that does not.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: there is no trained network here; run the bundle's train configuration first")
    state, own = read_state_file(Path(path)), network.state_dict()
    if problems := misfits(state, own):
        listed = "\n  ".join(problems)
        raise WeightsError(f"{path}: trained with other settings; {len(problems)} names do not fit:\n  {listed}")
    network.load_state_dict(state)
    return network
