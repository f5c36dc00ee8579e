# SPDX-License-Identifier: Apache-2.0
"""A trained network with what predicts a case."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import Compose, Invertd
from torch import nn

__all__ = ["Trained", "VolumePredictor"]

Predictor = Callable[[Mapping[str, Any]], tuple[np.ndarray, float]]


@dataclass
class Trained:
    """What a training leaves.

    Attributes:
        network: the network, as it was best on the validation cases.
        seconds: time of the training, its validations included.
        steps: steps of the optimiser.
        predict: maps an item of a datalist to the probabilities of its classes, (K, X, Y, Z) on the image's own grid
            or (K,), and the seconds that the network took.
    """

    network: nn.Module
    seconds: float
    steps: int
    predict: Predictor


class VolumePredictor:
    """Predicts volumes on their own grid.

    Args:
        network: the network, on its device.
        prepare: reads and prepares the key ``image``; undone for the prediction.
        inferer: gives probabilities, shape (1, K, H, W, D).
        device: where the network is.
    """

    def __init__(self, network: nn.Module, prepare: Compose, inferer: Inferer, device: torch.device) -> None:
        self.network = network
        self.prepare = prepare
        self.inferer = inferer
        self.device = device
        self.invert = Invertd("pred", prepare, orig_keys="image", nearest_interp=False, to_tensor=False)

    def __call__(self, item: Mapping[str, Any]) -> tuple[np.ndarray, float]:
        """Predicts a case.

        Args:
            item: of which ``image`` alone is read, so that no label can help.

        Returns:
            Probabilities, shape (K, X, Y, Z), and the seconds that the network took.
        """
        case: Any = self.prepare({"image": item["image"]})
        self.network.eval()
        image = case["image"][None].to(self.device)
        started = time.perf_counter()
        with torch.no_grad():
            probabilities = self.inferer(image, self.network)[0].cpu()
        seconds = time.perf_counter() - started
        if not isinstance(probabilities, MetaTensor):
            probabilities = MetaTensor(probabilities, meta=case["image"].meta)
        native = self.invert(case | {"pred": probabilities})["pred"]
        return native.as_subclass(torch.Tensor).numpy(), seconds
