# SPDX-License-Identifier: Apache-2.0
"""What features were computed from: an encoder, preprocessing, and the cases of a datalist."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.distributed.tensor import DTensor

from monai_dino.data.sources import source_files, stamp
from monai_dino.errors import ConfigurationError
from monai_dino.networks.encoders.encoder import DinoEncoder
from monai_dino.networks.encoders.merging import has_adapters

__all__ = ["FeatureProvenance", "cases_hash", "encoder_hash", "feature_provenance"]

_PREPARATION = 2  # one more with each change of the code that makes another image of the same file and settings


@dataclass(frozen=True)
class FeatureProvenance:
    """What features were computed from.

    Attributes:
        weights: see :func:`encoder_hash`.
        preprocessing: settings by name: modality, image size, plane, window and whatever else makes an image of a file;
            ``preparation`` is the revision of the code that does.
        datalist: see :func:`cases_hash`.
    """

    weights: str
    preprocessing: Mapping[str, Any]
    datalist: str

    def differences(self, wanted: FeatureProvenance) -> list[str]:
        """Which parts differ from those that are wanted.

        Args:
            wanted: the other.

        Returns:
            ``weights``, ``preprocessing`` with the settings that differ, ``datalist``; empty where all fit.
        """
        found = ["weights"] if self.weights != wanted.weights else []
        here, there = self.preprocessing, wanted.preprocessing
        settings = [
            f"{name}: {here.get(name)!r} in the file, {there.get(name)!r} wanted"
            for name in sorted({*here, *there})
            if here.get(name) != there.get(name) or (name in here) != (name in there)
        ]
        found += [f"preprocessing ({'; '.join(settings)})"] if settings else []
        return found + (["datalist"] if self.datalist != wanted.datalist else [])


def feature_provenance(
    encoder: DinoEncoder, preprocessing: Mapping[str, Any], cases: Iterable[Mapping[str, Any]]
) -> FeatureProvenance:
    """Describes what features are about to be computed from.

    Args:
        encoder: the encoder.
        preprocessing: settings that make an image of a file, values that JSON can hold.
        cases: items of the datalist, in the order of the loader.

    Returns:
        The provenance.

    Raises:
        ConfigurationError: for a setting that JSON cannot hold.
        InputError: when a file of a case is not there.
    """
    try:
        # As JSON would give them back, so that a tuple and a list are the same.
        settings = json.loads(json.dumps({**preprocessing, "preparation": _PREPARATION}, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"preprocessing: {error}; give numbers, texts, lists and mappings") from None
    return FeatureProvenance(encoder_hash(encoder), settings, cases_hash(cases))


def encoder_hash(encoder: DinoEncoder) -> str:
    """SHA-256 of an encoder: its architecture, and name, type, shape and bytes of each tensor, adapters included.

    The device and the training mode do not matter. Of low-rank adapters the settings count too, since their scale is in
    no tensor.

    Args:
        encoder: the encoder.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    adaptation = encoder.adaptation if has_adapters(encoder) else {}
    digest.update(json.dumps([encoder.architecture, adaptation], sort_keys=True, default=str).encode())
    for name, value in sorted(encoder.state_dict().items()):
        # Of FSDP, for which all processes have to ask.
        tensor: Any = value.full_tensor() if isinstance(value, DTensor) else value
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def cases_hash(cases: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of the items of a datalist, in their order: their files, and name, patient and label of each.

    Of a file its path, size and times of change are taken, and not its content: to read every volume again would cost
    as much as the pass of the encoder that is to be saved. So files that were copied or moved count as others, while an
    edit is never missed, even where the time of the content was set back.

    Args:
        cases: items with ``image`` and, possibly, ``label``, ``case`` and ``patient``.

    Returns:
        Hexadecimal digits.

    Raises:
        InputError: when a file is not there.
    """
    digest = hashlib.sha256()
    for item in cases:
        label = item.get("label")
        about = [
            [item.get(name) for name in ("case", "patient")],
            _plain(label),
            [stamp(f) for f in source_files(item)],
        ]
        digest.update(json.dumps(about, default=str).encode())
    return digest.hexdigest()


def _plain(label: Any) -> Any:
    """Class numbers of any type as Python's own; files stay paths."""
    if isinstance(label, (np.ndarray, np.generic, torch.Tensor)):
        return label.tolist()
    if isinstance(label, Sequence) and not isinstance(label, str):
        return [_plain(one) for one in label]
    return label
