# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from monai_dino.errors import ConfigurationError, NetworkError
from monai_dino.inferers import PatchMapInferer


def pooled(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(x, 4)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_is_what_the_network_makes_of_each_slice(batch_size: int) -> None:
    volumes = torch.rand(2, 2, 12, 16, 7)
    found = PatchMapInferer(batch_size, precision="fp32")(volumes, pooled)
    assert found.shape == (2, 2, 3, 4, 7)
    for k in range(7):
        torch.testing.assert_close(found[..., k], pooled(volumes[..., k]))
    resized = PatchMapInferer(batch_size, neighbours=1, resize=8, precision="fp32")(volumes, pooled)
    assert resized.shape == (2, 6, 2, 2, 7)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="batch_size"):
        PatchMapInferer(0)
    with pytest.raises(ConfigurationError, match="volumes"):
        PatchMapInferer()(torch.rand(1, 1, 8, 8), pooled)
    with pytest.raises(NetworkError, match="not finite"):
        PatchMapInferer(precision="fp32")(torch.full((1, 1, 8, 8, 2), float("nan")), pooled)
