# SPDX-License-Identifier: Apache-2.0
"""Features in a file, so that they are computed once, with what they were computed from."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from monai_dino.errors import ConfigurationError, InputError
from monai_dino.evaluation.feature_provenance import FeatureProvenance, encoder_hash
from monai_dino.evaluation.features import Features, extract_features
from monai_dino.files import written_whole
from monai_dino.inferers.autocast import Precision, autocast
from monai_dino.networks.encoders.encoder import DinoEncoder

__all__ = ["cached_features", "read_features", "write_features"]

_LOGGER = logging.getLogger(__name__)
_FORMAT = "monai_dino features 1"


def write_features(path: str | Path, features: Features, provenance: FeatureProvenance) -> None:
    """Writes features as safetensors, whole or not at all.

    The arrays are ``cls``, ``patches``, ``index``, ``label`` where there is one, and ``case`` and ``patient`` as
    numbers of the names, which are in the header as JSON beside the blocks and the provenance.

    Args:
        path: file to write, usually named ``.safetensors``; its folder is made.
        features: the features.
        provenance: what they were computed from.
    """
    arrays = {"cls": features.cls, "patches": features.patches, "index": features.index.astype(np.int64)}
    arrays |= {} if features.label is None else {"label": features.label.astype(np.int64)}
    names = {}
    for key in ("case", "patient"):
        unique, numbers = np.unique(getattr(features, key).astype(str), return_inverse=True)
        names[key], arrays[key] = unique.tolist(), numbers.astype(np.int64)
    about = {"blocks": list(features.blocks), "provenance": asdict(provenance), **names}
    with written_whole(path) as partial:
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(arrays, partial, {"format": _FORMAT, "about": json.dumps(about, allow_nan=False)})


def read_features(path: str | Path, expected: FeatureProvenance | None = None) -> Features:
    """Reads features.

    Args:
        path: file that :func:`write_features` wrote.
        expected: what they must have been computed from; ``None`` takes them as they are.

    Returns:
        The features.

    Raises:
        InputError: when the file is not there, damaged or of another kind, or when its features were computed from
            something else; it names which of weights, preprocessing and datalist does not fit.
    """
    features, provenance = _read(Path(path))
    if expected is not None and (different := provenance.differences(expected)):
        raise InputError(
            f"{path}: its features do not fit, since they were computed from something else: {_words(different)}; "
            f"delete the file to have them computed anew, or name another"
        )
    return features


def cached_features(
    path: str | Path,
    encoder: DinoEncoder,
    loader: Iterable[Mapping[str, Any]],
    provenance: FeatureProvenance,
    blocks: Sequence[int] | None = None,
    precision: Precision = "auto",
    batch_size: int = 64,
    progress: bool = True,
) -> Features:
    """Reads features where the file fits, else computes them in one pass of the encoder and writes them.

    What the encoder computes in (bfloat16 or float32) counts as a setting of the preprocessing. Why features are
    computed is logged. A file that fits no longer is replaced; one that holds no features is never.

    Args:
        path: the file.
        encoder: see :func:`extract_features`, as for the others.
        loader: of the cases that ``provenance`` was made of; not iterated where the file fits.
        provenance: by :func:`feature_provenance`, of this encoder.
        blocks: blocks after which features are taken; ``None`` for the last.
        precision: of the encoder.
        batch_size: the most slices that the encoder sees at once.
        progress: whether to show a progress bar.

    Returns:
        The features.

    Raises:
        ConfigurationError: when the encoder is not the one of ``provenance``, and as :func:`extract_features`.
        InputError: when the file holds something else than features, and as there.
        NetworkError: see there.
    """
    if encoder_hash(encoder) != provenance.weights:
        raise ConfigurationError(
            "provenance: it is of another encoder, or of this one before its weights changed; make it anew"
        )
    settings = {**provenance.preprocessing, "precision": _computed_in(encoder, precision)}
    expected = replace(provenance, preprocessing=settings)
    last = encoder.num_blocks - 1
    wanted = (last,) if blocks is None else tuple(b + encoder.num_blocks if b < 0 else b for b in blocks)
    reason = "there is no such file yet"
    if Path(path).exists():
        features, found = _read(Path(path))
        different = found.differences(expected)
        different += [] if features.blocks == wanted else [f"blocks ({features.blocks} in the file, {wanted} wanted)"]
        if not different:
            return features
        reason = _words(different)
    _LOGGER.info("%s: features are computed, since %s", path, reason)
    features = extract_features(encoder, loader, blocks, precision, batch_size, progress)
    write_features(path, features, expected)
    _LOGGER.info("%s: wrote features of %d slices", path, len(features))
    return features


def _computed_in(encoder: DinoEncoder, precision: Precision) -> str:
    device = next(encoder.parameters()).device
    with autocast(precision, device):
        low = torch.is_autocast_enabled(device.type)
        return str(torch.get_autocast_dtype(device.type) if low else torch.float32).removeprefix("torch.")


def _words(different: list[str]) -> str:
    one = len(different) == 1 and different[0].startswith(("preprocessing", "datalist"))
    return f"{', '.join(different)} {'differs' if one else 'differ'}"


def _read(path: Path) -> tuple[Features, FeatureProvenance]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name one that write_features wrote")
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.get("format") != _FORMAT:
            raise ValueError(f"format {header.get('format')!r}, expected {_FORMAT!r}")
        about = json.loads(header["about"])
        provenance = FeatureProvenance(**about["provenance"])
        if not isinstance(provenance.preprocessing, dict):
            raise ValueError("its preprocessing is no object")
        return _features(arrays, about), provenance
    except Exception as error:  # damaged bytes make the reader stumble anywhere
        raise InputError(
            f"{path}: cannot be read as features ({error}); delete it to have them computed anew, or name another file"
        ) from None


def _features(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> Features:
    cls, patches, blocks = arrays["cls"], arrays["patches"], tuple(about["blocks"])
    shapes = {name: array.shape for name, array in arrays.items()}
    if len({shape[0] for shape in shapes.values()}) != 1 or cls.shape != patches.shape or cls.ndim != 3:
        raise ValueError(f"its arrays do not fit each other: {shapes}")
    if cls.shape[1] != len(blocks):
        raise ValueError(f"it states blocks {blocks}, its arrays have {cls.shape[1]}")
    if any(arrays[key].size and arrays[key].min() < 0 for key in ("case", "patient")):
        raise ValueError("a case or patient has a number below 0")
    names = {key: np.array(about[key], dtype=str)[arrays[key]] for key in ("case", "patient")}
    return Features(cls, patches, blocks, names["case"], names["patient"], arrays["index"], arrays.get("label"))
