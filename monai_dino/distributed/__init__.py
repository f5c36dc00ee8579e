# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one network."""

from monai_dino.distributed.process_group import leave_process_group

__all__ = ["leave_process_group"]
