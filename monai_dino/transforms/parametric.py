# SPDX-License-Identifier: Apache-2.0
"""Random transforms whose parameters are drawn once and then applied by a pure function, to one image or to a batch."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import TransformBackends, convert_to_tensor

from monai_dino.errors import ConfigurationError
from monai_dino.transforms.images import as_float, like, require_finite
from monai_dino.transforms.rand_dictionary import RandDictionary

__all__ = ["Parameters", "RandParametric", "RandParametricd"]

Parameters = dict[str, np.ndarray]
"""Name of a parameter of the pure function -> its values, one row for each image."""


class RandParametric(RandomizableTransform):
    """Base of a random transform: ranges, ``draw``, and the pure function that applies what was drawn.

    A floating image keeps its type, any other becomes float32. An image that is empty or has pixels that are not finite
    is refused: one of them would spread over the image without a word.

    Args:
        prob: probability that an image is changed.

    Raises:
        ConfigurationError: when the probability lies outside 0 to 1.
    """

    backend = [TransformBackends.TORCH]
    function: ClassVar[Callable[..., torch.Tensor]]
    """Pure: floating images (N, C, H, W) and drawn parameters, N rows each -> new images of their shape and type."""
    spatial_dims: ClassVar[tuple[int, ...]] = (2,)
    """Spatial dimensions of the images that the function takes."""

    def __init__(self, prob: float = 1.0) -> None:
        if not 0 <= prob <= 1:
            raise ConfigurationError(f"prob={prob}: expected a probability from 0 to 1")
        super().__init__(prob)
        self.parameters: Parameters | None = None

    @abstractmethod
    def draw(self, rng: np.random.RandomState, n: int) -> Parameters:
        """Draws the parameters of ``n`` images.

        Args:
            rng: source of randomness.
            n: number of images.

        Returns:
            Parameters, ``n`` rows each.
        """

    def apply(self, x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        """Applies drawn parameters to a batch.

        Args:
            x: images, floating, shape (N, C, H, W).
            parameters: as :meth:`draw` gives them.

        Returns:
            New images of the same shape and type.
        """
        tensors = {name: torch.as_tensor(values, device=x.device) for name, values in parameters.items()}
        low = x.dtype in (torch.float16, torch.bfloat16)
        return self.function(x.float() if low else x, **tensors).to(x.dtype)

    def randomize(self, data: Any = None) -> None:
        """Draws whether the next image is changed, and the parameters.

        Args:
            data: not used.
        """
        super().randomize(None)
        self.parameters = self.draw(self.R, 1) if self._do_transform else None

    def __call__(self, img: NdarrayOrTensor, randomize: bool = True) -> torch.Tensor:
        """Transforms one image.

        Args:
            img: image, shape (C, H, W).
            randomize: whether to draw new parameters; else the last ones are applied again.

        Returns:
            New image of the same shape.

        Raises:
            InputError: when the image is empty, has another number of dimensions, or pixels that are not finite.
        """
        image = as_float(convert_to_tensor(img, track_meta=get_track_meta()))
        require_finite(image, type(self).__name__, self.spatial_dims)
        if randomize:
            self.randomize()
        if self.parameters is None:
            return image.clone()
        return like(image, self.apply(image.as_subclass(torch.Tensor)[None], self.parameters)[0])


class RandParametricd(RandDictionary):
    """Base of the dictionary form of a :class:`RandParametric`: parameters are drawn once and shared by all keys.

    Args:
        keys: keys of the images.
        *args: of the array form.
        allow_missing_keys: whether a key may be missing.
        **kwargs: of the array form.
    """

    backend = RandParametric.backend
    transform_type: ClassVar[type[RandParametric]]

    def __init__(self, keys: KeysCollection, *args: Any, allow_missing_keys: bool = False, **kwargs: Any) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform: RandParametric = self.transform_type(*args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = [
            p for p in inspect.signature(cls.__init__).parameters.values() if p.name in ("keys", "allow_missing_keys")
        ]
        theirs = list(inspect.signature(cls.transform_type).parameters.values())
        cls.__signature__ = inspect.Signature([own[0], *theirs, own[1]])  # type: ignore[attr-defined]

    def randomize(self, data: Any = None) -> None:
        """Draws whether the next item is changed, and the parameters.

        Args:
            data: not used.
        """
        self.transform.randomize(data)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transforms the images of one item alike.

        Args:
            data: item with the images.

        Returns:
            A new item.
        """
        item = dict(data)
        self.randomize(None)
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key], randomize=False)
        return item
