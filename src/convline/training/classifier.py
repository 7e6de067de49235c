"""Train and validate a network as a LightningModule.

Notable choices:
- One training step of Lightning takes several optimizer steps (an *execution*), because the Trainer's own work around a
  training step takes as long as a whole optimizer step of a small network. This is Lightning's manual optimization:
  this class implements accumulation and clipping; Lightning does precision, strategies, callbacks and loops.
- An execution never waits for the device. Its losses are read once, after it.
- A checkpoint also holds torch's random state and the sums of a half-done epoch, so that a resumed run equals one that
  was never interrupted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MetricCollection

from convline.data.datamodule import DataModule
from convline.data.loader import Batch, Execution
from convline.errors import UserError
from convline.training.averaging import exponential_average
from convline.training.lightning_callbacks import check_callbacks
from convline.training.metrics import Sums, computed, count_correct, probabilities
from convline.training.optimizers import ParameterGroups, needs_closure
from convline.training.rng_state import gather_rng_state, restore_rng_state
from convline.training.schedules import Schedule


class Classifier(LightningModule):
    """Train a network to classify images.

    Args:
        network: maps images N×C×H×W to logits N×classes.
        optimizer: called with the parameters; returns the optimizer.
        scheduler: called with `total_steps` and `steps_per_epoch`; returns a function from the optimizer step to the
            factor of the learning rate. Or called with the optimizer; returns a scheduler of torch.optim.
        loss: maps logits N×classes and targets to the mean over the images; see `convline.training.losses`. None is
            cross-entropy, which alone has the next two settings.
        label_smoothing: probability that is taken from the true class and spread over all classes in the training loss.
        class_weights: weight of each class in the training loss, whose sum over a batch is divided by the number of
            images; None weighs all classes equally. Metrics of validation and test use neither weights nor smoothing.
        accumulate_grad_batches: batches whose gradients are averaged into one optimizer step. The batches that remain
            at the end of an epoch make one more step.
        loss_reduction: "mean" or "sum": whether the gradient is that of the mean loss over the images of an optimizer
            step, or of its sum, over accumulated batches and all ranks too. Metrics are means in any case.
        gradient_clip_norm: maximum L2 norm of the whole gradient.
        scheduler_interval: when a scheduler of torch.optim is stepped, "epoch" or "step"; see `Schedule`.
        scheduler_monitor: metric of the epoch by which `ReduceLROnPlateau` decides.
        parameter_groups: divides the parameters for the optimizer.
        metrics: measured in validation, beside loss and accuracy.
        is_multilabel: whether images may have several labels: targets are N×classes, and accuracy is that of labels.
        ema_decay: decay per optimizer step of an exponential moving average of the weights and of batch norm's running
            statistics, smaller in the first steps (`decay_of_update`). The averaged network is the one that is
            validated and tested.
        channels_last: memory format of the convolutions.
        compile: compile the network with torch.compile.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Any],
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        accumulate_grad_batches: int = 1,
        gradient_clip_norm: float | None = None,
        ema_decay: float | None = None,
        channels_last: bool = True,
        compile: bool = False,
        scheduler_interval: Literal["epoch", "step"] | None = None,
        scheduler_monitor: str = "val/loss",
        parameter_groups: ParameterGroups | None = None,
        metrics: MetricCollection | None = None,
        is_multilabel: bool = False,
        loss_reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network.to(memory_format=torch.channels_last) if channels_last else network
        self.average = exponential_average(self.network, ema_decay) if ema_decay is not None else None
        if compile:  # in place, so that the names in the state_dict do not change
            self.network.compile()
        self._make_optimizer = optimizer
        self._make_schedule = partial(Schedule, scheduler, interval=scheduler_interval, monitor=scheduler_monitor)
        self._parameter_groups = parameter_groups or ParameterGroups()
        self._epoch_metrics: dict[str, float] = {}
        self.is_validated = False  # whether the current epoch has been
        self.metrics = metrics if metrics is not None else MetricCollection({})
        self.loss = loss
        self.is_multilabel = is_multilabel
        self.label_smoothing = label_smoothing
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.accumulate_grad_batches = accumulate_grad_batches
        self.loss_reduction = loss_reduction
        self.gradient_clip_norm = gradient_clip_norm
        self.steps_per_epoch = 0  # optimizer steps; set once the trainer is known
        self.train_sums = Sums()
        self._val_sums: Tensor | None = None
        self._unread: _Unread | None = None
        self.unclipped_norm: Tensor | None = None  # norm of the last gradient, if it is clipped
        self._last_lr = math.nan  # learning rate of the last optimizer step that was read
        self._rng_state: dict[str, Any] | None = None  # of the checkpoint, until training starts

    @property
    def evaluated_network(self) -> nn.Module:
        """Return the network that is validated and tested: the average if `ema_decay` is set."""
        return self.network if self.average is None else self.average.module

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits N×classes of the evaluated network."""
        return self.evaluated_network(images)

    def configure_callbacks(self) -> list[Callback]:
        """Refuse callbacks of the Trainer that would do something else than they say; add none."""
        check_callbacks(type(callback) for callback in self.trainer.callbacks)  # type: ignore[attr-defined]
        return []

    def configure_optimizers(self) -> Any:
        """Build the optimizer, and a schedule over the optimizer steps of the whole run."""
        # The data module counts the batches, without a loader: when a run is resumed, the state of its loader is not
        # restored yet.
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, DataModule):
            num_batches = data.num_train_batches
        else:
            if self.accumulate_grad_batches > 1:
                raise UserError(
                    "accumulate_grad_batches needs convline's DataModule; here take larger batches instead."
                )
            self.trainer.fit_loop.setup_data()  # as `trainer.estimated_stepping_batches` does, for the next number
            counted = self.trainer.num_training_batches
            num_batches = int(counted) if math.isfinite(counted) else max(1, self.trainer.max_steps)
        self.steps_per_epoch = math.ceil(num_batches / self.accumulate_grad_batches)
        total_steps = self._total_steps()
        optimizer = self.build_optimizer()
        self._needs_closure = needs_closure(optimizer)
        if self._needs_closure and self.accumulate_grad_batches > 1:
            raise UserError(
                f"{type(optimizer).__name__} computes gradients in its step, which cannot accumulate batches.\n"
                "  Type: classifier.accumulate_grad_batches=1"
            )
        self._schedule = self._make_schedule(optimizer, total_steps, self.steps_per_epoch)
        # Lightning saves the scheduler's state; it is stepped here, since optimization is manual
        scheduler: Any = self._schedule.scheduler
        if isinstance(scheduler, ReduceLROnPlateau):  # for which Lightning wants a metric that it then ignores
            scheduler = {"scheduler": scheduler, "monitor": "val/loss"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _total_steps(self) -> int:
        """Compute the optimizer steps of the whole run.

        Raises:
            UserError: `max_steps` of the Trainer is never reached.
        """
        max_epochs, max_steps = self.trainer.max_epochs or 1, self.trainer.max_steps
        if max_steps == -1:
            return self.steps_per_epoch * max_epochs
        if max_epochs == -1:
            return max_steps
        if max_steps > self.steps_per_epoch * max_epochs:
            raise UserError(
                f"trainer.max_steps={max_steps:,} is never reached: {max_epochs} epochs have "
                f"{self.steps_per_epoch * max_epochs:,} optimizer steps.\n"
                f"  Type: trainer.max_epochs={math.ceil(max_steps / self.steps_per_epoch)}"
            )
        return max_steps

    def build_optimizer(self, **arguments: Any) -> torch.optim.Optimizer:
        """Build the optimizer of the network's parameters in their groups, with other arguments than its own if any."""
        return self._parameter_groups.build(self.network, partial(self._make_optimizer, **arguments))

    def on_train_start(self) -> None:
        """Restore the checkpoint's random state, after everything that draws random numbers has been built."""
        if self._rng_state is not None:
            restore_rng_state(self._rng_state, self.global_rank)
            self._rng_state = None

    def on_train_epoch_start(self) -> None:
        """Reset the sums. Lightning does not call this when it resumes within an epoch, whose sums are restored."""
        self.train_sums = Sums()
        self._epoch_metrics, self.is_validated = {}, False
        self._set_optimizer_mode("train")

    def _batches(self, batch: Any) -> Execution | list[Batch]:
        """Return the batches of an execution of our loader, or the one batch of any other loader."""
        if not isinstance(batch, Execution):
            return [batch]
        if self.dtype == torch.float32:
            return batch
        # of a precision such as bf16-true; Lightning casts the tensors of ordinary batches alone
        return [(images.to(self.dtype), targets) for images, targets in batch]

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Take the optimizer steps of one execution, or of one batch `(images, targets)` of an ordinary loader."""
        execution = self._batches(batch)
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        num_ranks = self.trainer.world_size
        is_divided = num_ranks > 1 and isinstance(batch, Execution)
        losses, logits_by_batch, targets_by_batch, learning_rates = [], [], [], []
        for index, (images, targets) in enumerate(execution):
            if self._has_all_steps():  # within an execution, which Lightning does not look into
                break
            index_in_group = index % self.accumulate_grad_batches
            if index_in_group == 0:  # the batches of one optimizer step; fewer at the end of an epoch
                group_size = min(self.accumulate_grad_batches, len(execution) - index)
            logits = self.network(images)
            loss = self.training_loss(logits, targets)
            share = batch.shares[index] if is_divided else 1.0
            batch_size = batch.sizes[index] if is_divided else len(targets) * num_ranks
            self.manual_backward(self.reduced(loss, share, batch_size, group_size))
            losses.append(loss.detach())
            logits_by_batch.append(logits.detach())
            targets_by_batch.append(targets)
            if index_in_group == group_size - 1:
                learning_rates.append(optimizer.param_groups[0]["lr"])
                self._optimizer_step(optimizer, images, targets, share, batch_size)
        num_correct = torch.stack(
            [count_correct(*pair, self.is_multilabel) for pair in zip(logits_by_batch, targets_by_batch, strict=True)]
        )
        sizes = [len(targets) for targets in targets_by_batch]
        if is_divided and batch_size < num_ranks and self.global_rank > 0:
            # the last batch of the epoch has fewer images than ranks, is on all of them, and counts on the first
            num_correct[-1], sizes[-1] = 0, 0
        # Read the execution before this one, which the device has finished long ago: reading this one would wait for
        # the device, and leave it idle until the next execution is enqueued.
        self._read_losses()
        self._unread = _Unread(torch.stack(losses), num_correct, sizes, learning_rates, self.trainer.global_step)
        if losses[0].device.type == "cpu":  # nothing to wait for
            self._read_losses()
        if self._has_all_steps():
            self.trainer.should_stop = True  # so that this last epoch, which may be cut short, is validated too

    def _has_all_steps(self) -> bool:
        return self.trainer.max_steps != -1 and self.trainer.global_step >= self.trainer.max_steps

    def training_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of a batch as training does: with smoothing and class weights, the mean over images."""
        if self.loss is not None:
            return self.loss(logits, targets)
        if self.class_weights is None:
            return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        weight, smoothing = self.class_weights.to(logits.dtype), self.label_smoothing
        # Divided by the number of images. reduction="mean" divides by the sum of their weights, which would cancel
        # the weight in a batch of a single class.
        return F.cross_entropy(logits, targets, weight, reduction="sum", label_smoothing=smoothing) / len(targets)

    def reduced(self, loss: Tensor, share: float, batch_size: int, num_batches: int = 1) -> Tensor:
        """Scale the mean loss of a batch to its term in the loss of an optimizer step, by `loss_reduction`.

        Args:
            loss: the mean over this rank's images of the batch.
            share: this rank's share of the batch; see `Loader.share`.
            batch_size: images of the batch, over all ranks.
            num_batches: batches of the optimizer step.
        """
        if self.loss_reduction == "sum":
            return loss * (share * batch_size)
        shared = loss if share == 1 else loss * share
        return shared / num_batches if num_batches > 1 else shared

    def _optimizer_step(
        self, optimizer: LightningOptimizer, images: Tensor, targets: Tensor, share: float, batch_size: int
    ) -> None:
        """Step with the gradients of the last batches; an optimizer with a closure computes those of the last again."""

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.training_loss(self.network(images), targets)
            self.manual_backward(self.reduced(loss, share, batch_size))
            self._clip_gradient(optimizer)
            return loss.detach()

        self._clip_gradient(optimizer)
        if self._needs_closure:
            optimizer.step(closure)
        else:
            optimizer.step()
        optimizer.zero_grad()
        self._schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _clip_gradient(self, optimizer: LightningOptimizer) -> None:
        if self.gradient_clip_norm is None:
            return
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None:  # of 16-mixed: the norm is that of the gradient itself
            scaler.unscale_(optimizer.optimizer)
        self.unclipped_norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip_norm)

    def _read_losses(self) -> None:
        """Add the last execution to the epoch's sums, and log the steps that are due.

        Raises:
            NotFiniteLossError: a loss is not a finite number.
        """
        unread, self._unread = self._unread, None
        if unread is None:
            return
        losses = unread.losses.tolist()
        self._last_lr = unread.learning_rates[-1]
        for index, loss in enumerate(losses):
            if not math.isfinite(loss):
                batch = self.train_sums.num_batches + index + 1
                raise NotFiniteLossError(
                    f"the loss became {loss} in batch {batch:,} of epoch {self.current_epoch + 1}, "
                    f"with a learning rate of {unread.learning_rates[index // self.accumulate_grad_batches]:.3g}.\n"
                    "  Type a smaller one (optimizer.lr=…), a warm-up (scheduler.warmup=0.1) or a limit "
                    "(classifier.gradient_clip_norm=1)."
                )
        num_correct = unread.num_correct.tolist()
        self.train_sums = self.train_sums + Sums.of(losses, num_correct, unread.sizes)
        for index, learning_rate in enumerate(unread.learning_rates):
            step = unread.last_step - len(unread.learning_rates) + index + 1
            if step % (self.trainer.log_every_n_steps or math.inf) == 0:  # type: ignore[attr-defined]
                batches = slice(index * self.accumulate_grad_batches, (index + 1) * self.accumulate_grad_batches)
                sums = Sums.of(losses[batches], num_correct[batches], unread.sizes[batches])
                metrics = {"train/loss_step": sums.loss, "train/acc_step": sums.accuracy, "lr_step": learning_rate}
                for logger in self.trainer.loggers:
                    logger.log_metrics(metrics, step=step)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's metrics over all ranks. `lr` is the learning rate of the first parameter group."""
        self._read_losses()
        sums = sum((Sums.from_row(row) for row in self._gather_train_sums()), Sums())
        self.log_epoch({"train/loss": sums.loss, "train/acc": sums.accuracy, "lr": self._last_lr})
        self._schedule.end_epoch(self._epoch_metrics)

    def _set_optimizer_mode(self, mode: str) -> None:
        """Let an optimizer such as the schedule-free ones put its training or its averaged weights into the network.

        From the validation to the next epoch the network has the averaged weights, which are also those of `best.ckpt`.
        """
        optimizer = self.trainer.optimizers[0]
        if hasattr(optimizer, mode):
            getattr(optimizer, mode)()

    def _gather_train_sums(self) -> list[list[float]]:
        """Gather the epoch's sums, one row a rank; every rank must call it."""
        row = self.train_sums.to_row()
        if self.trainer.world_size == 1:
            return [row]
        rows = self.all_gather(torch.tensor(row, dtype=torch.float64, device=self.device))
        assert isinstance(rows, Tensor)  # as a tensor went in
        return rows.tolist()

    def on_validation_epoch_start(self) -> None:
        """Reset the sums, and copy the first rank's buffers to all ranks: its network is the one that is saved."""
        self._read_losses()
        if self.trainer.optimizers:
            self._set_optimizer_mode("eval")
        if self.trainer.world_size > 1:
            # DDP synchronizes buffers once an execution, before its first batch. Since then each rank has updated the
            # running statistics of batch norm with its own images.
            for buffer in self.evaluated_network.buffers():
                torch.distributed.broadcast(buffer, src=0)
        self._val_sums = torch.zeros(3, device=self.device)
        self.metrics.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """Add an execution, or a batch, to the sums, and return its logits and labels for the callbacks."""
        execution = self._batches(batch)
        assert self._val_sums is not None
        logits_by_batch, labels_by_batch = [], []
        for images, labels in execution:
            logits = self(images)
            logits_by_batch.append(logits)
            labels_by_batch.append(labels)
            loss = (
                self.loss(logits, labels) * len(labels)
                if self.loss
                else F.cross_entropy(logits, labels, reduction="sum")
            )
            num_correct = count_correct(logits, labels, self.is_multilabel)
            self._val_sums += torch.stack([loss, num_correct, loss.new_tensor(len(labels))])
        logits, labels = torch.cat(logits_by_batch), torch.cat(labels_by_batch)
        if self.metrics:  # once an execution: an update costs more than a batch of a small network
            self.metrics.update(probabilities(logits.float(), self.is_multilabel), labels.long())
        return {"logits": logits, "labels": labels}

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over all ranks.

        Raises:
            NotFiniteLossError: the loss is not a finite number.
        """
        metrics = self._evaluation_metrics("val")
        if not math.isfinite(metrics["val/loss"]):
            raise NotFiniteLossError(
                f"the validation loss became {metrics['val/loss']} in epoch {self.current_epoch + 1}.\n"
                "  Type a smaller learning rate (optimizer.lr=…) or a limit (classifier.gradient_clip_norm=1)."
            )
        if self.trainer.state.fn == TrainerFn.VALIDATING:  # `Trainer.validate` returns what is logged the usual way
            self.log_dict(metrics)
        else:
            self.is_validated = True
            self.log_epoch(metrics)

    def on_test_epoch_start(self) -> None:
        """Reset the sums; the Trainer's test measures what validation measures, on the batches that it gets."""
        self._val_sums = torch.zeros(3, device=self.device)
        self.metrics.reset()

    def test_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """Add an execution, or a batch, to the sums."""
        return self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log loss, accuracy and the further metrics over all ranks."""
        self.log_dict(self._evaluation_metrics("test"))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Compute the probabilities N×classes of an execution, of a batch `(images, targets)`, or of images alone."""
        if isinstance(batch, Tensor):
            return probabilities(self(batch).float(), self.is_multilabel)
        logits = torch.cat([self(images) for images, *_ in self._batches(batch)])
        return probabilities(logits.float(), self.is_multilabel)

    def _evaluation_metrics(self, split: str) -> dict[str, float]:
        """Reduce the sums over all ranks to the metrics of a split."""
        assert self._val_sums is not None
        loss_sum, num_correct, num_images = self.trainer.strategy.reduce(self._val_sums, reduce_op="sum").tolist()
        values = {"loss": loss_sum / num_images, "acc": num_correct / num_images}
        if self.metrics:
            values |= computed(self.metrics)
        return {f"{split}/{name}": value for name, value in values.items()}

    def log_epoch(self, metrics: dict[str, float]) -> None:
        """Log metrics of an epoch, for the loggers and for callbacks that monitor them.

        The loggers get them at once. Lightning would count executions on the x axis, and would pass the metrics on only
        after the epoch's checkpoint is written, so that a run killed in between would lose them.
        """
        self._epoch_metrics |= metrics
        self.log_dict(metrics, logger=False)
        for logger in self.trainer.loggers:
            logger.log_metrics({**metrics, "epoch": self.current_epoch + 1}, step=self.trainer.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not save: the sums of a half-done epoch and the random state, one row a rank.

        Lightning calls this on every rank, though only the first one writes the file.
        """
        self._read_losses()
        self._check_weights()
        checkpoint["train_sums"] = self._gather_train_sums()
        checkpoint["rng"] = gather_rng_state(self)

    def _check_weights(self) -> None:
        """Check that all weights are finite: a gradient can overflow in the last batch, whose loss is still finite.

        Raises:
            NotFiniteLossError: they are not.
        """
        state = [value for value in self.network.state_dict().values() if value.is_floating_point()]
        if state and not torch.stack([value.isfinite().all() for value in state]).all():
            raise NotFiniteLossError(
                f"the weights are no longer finite numbers in epoch {self.current_epoch + 1}; they were not saved.\n"
                "  Type a smaller learning rate (optimizer.lr=…) or a limit (classifier.gradient_clip_norm=1)."
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore this rank's sums, and keep the random state until training starts."""
        rows = checkpoint["train_sums"]
        # private: load_from_checkpoint has no trainer, and self.trainer raises an error then
        num_ranks, rank = (self.trainer.world_size, self.global_rank) if self._trainer else (1, 0)
        if not isinstance(rows[0], list):
            # A checkpoint of version 0.1 holds the four sums of the first rank alone. Every rank takes these, so that
            # the batches before the interruption keep their weight in the mean of the epoch.
            rows = [rows] * num_ranks
        if len(rows) == num_ranks:
            self.train_sums = Sums.from_row(rows[rank])
        else:  # the run goes on with another number of ranks
            self.train_sums = sum(map(Sums.from_row, rows), Sums()) if rank == 0 else Sums()
        self._rng_state = checkpoint["rng"]


class NotFiniteLossError(UserError):
    """Report that training diverged: a loss or a weight is not a finite number."""


@dataclass(frozen=True)
class _Unread:
    """Hold the results of an execution that are still on the device."""

    losses: Tensor  # mean loss of each batch
    num_correct: Tensor  # of each batch
    sizes: list[int]  # images of each batch
    learning_rates: list[float]  # of each optimizer step, in the first parameter group
    last_step: int  # optimizer steps of the run so far
