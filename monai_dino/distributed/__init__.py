# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one network."""

from monai_dino.distributed.process_group import (
    check_distribution,
    join_process_group,
    leave_process_group,
)

__all__ = ["check_distribution", "join_process_group", "leave_process_group"]
