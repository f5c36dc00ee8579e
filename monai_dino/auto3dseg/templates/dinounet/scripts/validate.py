# SPDX-License-Identifier: Apache-2.0
"""``python scripts/validate.py run --config_file=configs/hyper_parameters.yaml``."""

import fire

from monai_dino.auto3dseg.training import validate as run

if __name__ == "__main__":
    fire.Fire({"run": run})
