# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monai_dino.evaluation import FindingsDiceMetric, segmentation_metrics

masks = arrays(np.uint8, (3, 1, 2, 2, 2), elements=st.integers(0, 2))


@settings(deadline=None, max_examples=50)
@given(masks, masks)
def test_agrees_with_the_report(prediction: np.ndarray, truth: np.ndarray) -> None:
    p, t = torch.from_numpy(prediction), torch.from_numpy(truth)
    metric = FindingsDiceMetric(3)
    found = torch.as_tensor(metric(p, t)).numpy()
    rows = [segmentation_metrics(a[0], b[0], 3, (1, 1, 1)) for a, b in zip(p, t, strict=True)]
    expected = np.array([[row[k]["dice"] for k in (1, 2)] for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_findings_in_a_healthy_case_cost() -> None:
    truth = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    truth[0, :, :2] = 1
    for healthy, expected in ((0, 1.0), (1, 0.5)):
        prediction = truth.clone()
        prediction[1] = healthy
        metric = FindingsDiceMetric(2)
        metric([*prediction], [*truth])
        assert float(metric.aggregate()) == expected
