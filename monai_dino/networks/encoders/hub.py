# SPDX-License-Identifier: Apache-2.0
"""Download of a model from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from monai_dino.errors import WeightsError

__all__ = ["download"]

_FILES = ["*.json", "*.safetensors"]
_PICKLED = "pytorch_model*.bin"  # transformers reads them with the weights-only unpickler


def download(hub_id: str) -> Path:
    """Downloads a model's configuration and weights, or finds them in the cache.

    Args:
        hub_id: such as ``facebook/dinov2-small``.

    Returns:
        The folder that they are in.

    Raises:
        WeightsError: when the hub does not give them, in one sentence.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    absent = f"weights: there is no folder {hub_id!r} here, and"
    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=_FILES))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(hub_id, allow_patterns=[*_FILES, _PICKLED]))
    except GatedRepoError:
        raise WeightsError(
            f"{absent} the Hugging Face hub gives {hub_id} only to those who accepted its licence; accept the licence "
            f"on the model's page and log in with `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise WeightsError(
            f"{absent} the Hugging Face hub has no model of that name that you may see; check the spelling, and log in "
            f"with `hf auth login` if it is private"
        ) from None
    except Exception as error:  # timeouts, httpx, Xet: they share no base class
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{absent} the Hugging Face hub did not give a model of that name ({reason}); download it where there is "
            f"a connection and name its folder"
        ) from None
    return folder
