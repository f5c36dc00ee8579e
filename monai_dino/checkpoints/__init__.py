# SPDX-License-Identifier: Apache-2.0
"""What a run needs to go on where it was: tensors and state in folders that are whole or not there."""

from monai_dino.checkpoints.folder import find_checkpoints
from monai_dino.checkpoints.manifest import verify
from monai_dino.checkpoints.reading import Checkpoint, open_checkpoint, read_state
from monai_dino.checkpoints.tensors import TensorInfo
from monai_dino.checkpoints.weights_digest import weights_digest
from monai_dino.checkpoints.writing import write_checkpoint

__all__ = [
    "Checkpoint",
    "TensorInfo",
    "find_checkpoints",
    "open_checkpoint",
    "read_state",
    "verify",
    "weights_digest",
    "write_checkpoint",
]
