"""Log the norms of gradient and weights, and the size of an update relative to the weights."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm

from convline.training.classifier import Classifier


class Norms(Callback):
    """Log `norms/gradient`, `norms/weights` and `norms/update_to_weights` every `log_every_n_steps` steps.

    They are L2 norms over all trained parameters together: of the gradient before any clipping; of the weights before
    the step; and of the step, divided by the weights' norm. On a GPU the values are read one execution later, when they
    have been computed, so that training does not wait for them.
    """

    def __init__(self) -> None:
        self._not_logged: list[tuple[int, Tensor]] = []
        self._weights_before: list[Tensor] = []
        self._norms: tuple[Tensor, Tensor] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Register hooks before and after the optimizer's steps."""
        (optimizer,) = trainer.optimizers
        weights = [p for group in optimizer.param_groups for p in group["params"]]

        log_interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]

        def record_weights(*_: Any) -> None:
            self._step += 1
            if self._step % log_interval:
                return
            assert isinstance(pl_module, Classifier)
            gradient_norm = pl_module.unclipped_norm
            if gradient_norm is None:
                gradient_norm = get_total_norm([p.grad for p in weights if p.grad is not None])
            self._weights_before = [p.detach().clone() for p in weights]
            self._norms = gradient_norm, get_total_norm(self._weights_before)

        def record_update(*_: Any) -> None:
            if self._norms is None:
                return
            gradient_norm, weight_norm = self._norms
            updates = [p.detach() - old for p, old in zip(weights, self._weights_before, strict=True)]
            update_norm = get_total_norm(updates)
            self._not_logged.append((self._step, torch.stack([gradient_norm, weight_norm, update_norm / weight_norm])))
            self._norms, self._weights_before = None, []

        self._hooks = [
            optimizer.register_step_pre_hook(record_weights),
            optimizer.register_step_post_hook(record_update),
        ]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Read the step count once per execution, since reading it in every step is slow."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the values of this execution; on a GPU, of earlier ones, which are computed by now."""
        is_cpu = pl_module.device.type == "cpu"
        self._log(trainer, before=None if is_cpu else trainer.global_step - len(batch) + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the values that are not logged yet."""
        self._log(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Log all remaining values, since a run resumed from this checkpoint does not repeat their steps."""
        self._log(trainer)

    def _log(self, trainer: Trainer, before: int | None = None) -> None:
        remaining = []
        for step, values in self._not_logged:
            if before is not None and step >= before:
                remaining.append((step, values))
                continue
            gradient_norm, weight_norm, ratio = values.tolist()
            metrics = {"norms/gradient": gradient_norm, "norms/weights": weight_norm, "norms/update_to_weights": ratio}
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=step)
        self._not_logged = remaining

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()
