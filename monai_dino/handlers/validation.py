# SPDX-License-Identifier: Apache-2.0
"""Validation every so many epochs, and after the last."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import ValidationHandler

from monai_dino.errors import ConfigurationError

__all__ = ["EndingValidationHandler"]


class EndingValidationHandler(ValidationHandler):
    """MONAI's :class:`~monai.handlers.ValidationHandler`, which also validates after the last epoch.

    Without that, what was learnt since the last validation is never kept, and a training whose budget ends before the
    first one leaves no network at all.

    Args:
        interval: epochs between validations.
        validator: runs the validation.

    Raises:
        ConfigurationError: for an interval below 1.
    """

    def __init__(self, interval: int, validator: Evaluator | None = None) -> None:
        if interval < 1:
            raise ConfigurationError(f"val_interval={interval}: expected at least 1 epoch")
        super().__init__(interval, validator)

    def attach(self, engine: Engine) -> None:
        """Registers the handler.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=self._is_due), self)

    def _is_due(self, engine: Engine, epoch: int) -> bool:
        return epoch % self.interval == 0 or epoch == engine.state.max_epochs
