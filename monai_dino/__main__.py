# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_dino``."""

import sys

from monai_dino.commands import main

sys.exit(main())
