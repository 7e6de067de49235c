"""A callback that ends the process when the first optimizer step is done."""

import os
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class EndAfterFirstStep(Callback):
    """Ends the process at once, with status 0: nothing that comes after the first step is measured."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Called after the first execution, which must be of one step."""
        assert trainer.global_step == 1, trainer.global_step
        os._exit(0)
