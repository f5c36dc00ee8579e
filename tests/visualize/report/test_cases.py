# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from monai_dino.visualize.report.cases import worst_first
from monai_dino.visualize.report.run import Evaluation

SEGMENTED = {"case": "a", "class": "ball", "dice": "0.5"}
CLASSIFIED = {"case": "a", "truth": "ill", "prediction": "ill", "p_ill": "0.5"}


@pytest.mark.parametrize("row", [SEGMENTED, CLASSIFIED])
def test_results_of_several_trainings_have_no_order(row: dict[str, str]) -> None:
    (found,) = worst_first(Evaluation("eval.json", {}, "", {}, rows=[row]))[""]
    assert (found.name, found.score) == ("a", 0.5)
    drawn = [row | {"method": "unet2d", "learned_from": "1 patient", "draw": str(k)} for k in range(2)]
    assert worst_first(Evaluation("few_shot.json", {}, "", {}, rows=drawn)) == {}
