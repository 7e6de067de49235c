"""The one LightningModule: a network, a loss, an optimizer, a schedule, and sums kept on the device.

Notable choices:
- Its training step takes several optimizer steps (one *execution*), so it optimizes "manually" in Lightning's terms:
  accumulation and clipping are here, and precision, strategies and callbacks remain Lightning's.
- Nothing waits for the device inside an execution; once after it, the losses are looked at.
- It saves torch's random state with the weights: dropout goes on where it was.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from convline.data.loader import Execution
from convline.errors import UserError
from convline.training.metrics import Sums
from convline.training.rng_state import random_state, set_random_state
from convline.training.schedules import Factor


class Classifier(LightningModule):
    """Trains a network to classify images by cross-entropy.

    Args:
        network: images N×C×H×W to logits N×classes.
        optimizer: called with the parameters.
        scheduler: called with `total_steps` and `steps_per_epoch`; gives the learning rate's factor for each step.
        label_smoothing: mass taken from the true class and spread over all; validation's loss is without it.
        class_weights: of each class in the training loss, a batch's losses being summed and divided by its images;
            None for all alike. Figures of validation and test are without them.
        accumulate_grad_batches: batches whose gradients are averaged into one optimizer step. At the end of an epoch
            the remaining ones make a step of their own.
        gradient_clip_norm: largest L2 norm of the whole gradient.
        ema_decay: per optimizer step, of an exponential moving average of the weights and of the batch norm's running
            statistics, which is then what is validated and tested.
        channels_last: memory format of the convolutions.
        compile: compile the network with torch.compile.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., Factor],
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        accumulate_grad_batches: int = 1,
        gradient_clip_norm: float | None = None,
        ema_decay: float | None = None,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network.to(memory_format=torch.channels_last) if channels_last else network
        self.average = (
            AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
            if ema_decay is not None
            else None
        )
        if compile:  # in place: the names in the state_dict stay
            self.network.compile()
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self.label_smoothing = label_smoothing
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.accumulate_grad_batches = accumulate_grad_batches
        self.gradient_clip_norm = gradient_clip_norm
        self.steps_per_epoch = 0  # optimizer steps; known when the trainer is
        self.train_sums = Sums()
        self._val_sums: Tensor | None = None
        self._unread: _Unread | None = None
        self.unclipped_norm: Tensor | None = None  # of the last gradient, if it is clipped
        self._last_rate = math.nan  # learning rate of the last optimizer step that was read
        self._rng: dict[str, Any] | None = None

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and tested: the averaged one if there is one."""
        return self.network if self.average is None else self.average.module

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes of the evaluated network."""
        return self.evaluated(images)

    def configure_optimizers(self) -> Any:
        """The optimizer, and its schedule counted in optimizer steps over the whole run."""
        # not from the loader itself: made this early, it would miss its state when a run is resumed
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        num_batches = data.num_train_batches(self.trainer.world_size)
        self.steps_per_epoch = math.ceil(num_batches / self.accumulate_grad_batches)
        total_steps = self.steps_per_epoch * (self.trainer.max_epochs or 1)
        factor = self._make_scheduler(total_steps=total_steps, steps_per_epoch=self.steps_per_epoch)
        optimizer = self._make_optimizer([p for p in self.network.parameters() if p.requires_grad])
        return {"optimizer": optimizer, "lr_scheduler": LambdaLR(optimizer, factor)}

    def on_train_start(self) -> None:
        """Go on with the random numbers of the checkpoint, once everything that might have drawn some is built."""
        if self._rng is not None:
            set_random_state(self._rng, self.global_rank)
            self._rng = None

    def on_train_epoch_start(self) -> None:
        """Sums begin anew; not called when an epoch is resumed half-way."""
        self.train_sums = Sums()

    def training_step(self, execution: Execution, batch_idx: int) -> None:
        """Take the optimizer steps of one execution."""
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        assert isinstance(optimizer, LightningOptimizer)
        assert isinstance(scheduler, LambdaLR)
        losses, logits_of, targets_of, rates = [], [], [], []
        for number, (images, targets) in enumerate(execution):
            place = number % self.accumulate_grad_batches
            if place == 0:
                group = min(self.accumulate_grad_batches, len(execution) - number)
            logits = self.network(images)
            loss = self._training_loss(logits, targets)
            self.manual_backward(loss / group if group > 1 else loss)
            losses.append(loss.detach())
            logits_of.append(logits.detach())
            targets_of.append(targets)
            if place == group - 1:
                rates.append(optimizer.param_groups[0]["lr"])
                self._optimizer_step(optimizer, scheduler)
        hits = torch.stack([_num_hits(*pair) for pair in zip(logits_of, targets_of, strict=True)])
        self._read_losses()  # those of the execution before this one, which the device has long finished
        sizes = [len(targets) for targets in targets_of]
        self._unread = _Unread(torch.stack(losses), hits, sizes, rates, self.trainer.global_step)
        if losses[0].device.type == "cpu":
            self._read_losses()

    def _training_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.class_weights is None:
            return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        weight, smoothing = self.class_weights.to(logits.dtype), self.label_smoothing
        # divided by the images, not by their weights: a batch that happens to be all of one class counts by it
        return F.cross_entropy(logits, targets, weight, reduction="sum", label_smoothing=smoothing) / len(targets)

    def _optimizer_step(self, optimizer: LightningOptimizer, scheduler: LambdaLR) -> None:
        if self.gradient_clip_norm is not None:
            self.unclipped_norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _read_losses(self) -> None:
        """Add what the last execution computed to the epoch's sums, and log it if its turn has come.

        Raises:
            UserError: a loss is not a finite number.
        """
        unread, self._unread = self._unread, None
        if unread is None:
            return
        losses = unread.losses.tolist()
        self._last_rate = unread.learning_rates[-1]
        for number, loss in enumerate(losses):
            if not math.isfinite(loss):
                batch = self.train_sums.batches + number + 1
                raise NotFiniteLossError(
                    f"the loss became {loss} in batch {batch:,} of epoch {self.current_epoch + 1}, "
                    f"with a learning rate of {unread.learning_rates[number // self.accumulate_grad_batches]:.3g}.\n"
                    "  Type a smaller one (optimizer.lr=…), a warm-up (scheduler.warmup=0.1) or a limit "
                    "(classifier.gradient_clip_norm=1)."
                )
        hits = unread.hits.tolist()
        self.train_sums = self.train_sums + Sums.of(losses, hits, unread.sizes)
        for place, rate in enumerate(unread.learning_rates):
            step = unread.last_step - len(unread.learning_rates) + place + 1
            if step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
                batches = slice(place * self.accumulate_grad_batches, (place + 1) * self.accumulate_grad_batches)
                sums = Sums.of(losses[batches], hits[batches], unread.sizes[batches])
                values = {"train/loss_step": sums.loss, "train/acc_step": sums.accuracy, "lr_step": rate}
                for logger in self.trainer.loggers:
                    logger.log_metrics(values, step=step)

    def on_train_epoch_end(self) -> None:
        """Log the epoch's figures."""
        self._read_losses()
        sums = self.train_sums
        if self.trainer.world_size > 1:
            parts = torch.tensor([sums.loss_sum, sums.hits, sums.images, sums.batches], device=self.device)
            loss_sum, hits, images, batches = self.trainer.strategy.reduce(parts, reduce_op="sum").tolist()
            sums = Sums(loss_sum, hits, int(images), int(batches))
        self.log_epoch({"train/loss": sums.loss, "train/acc": sums.accuracy, "lr": self._last_rate})

    def on_validation_epoch_start(self) -> None:
        """Sums begin anew."""
        self._read_losses()
        self._val_sums = torch.zeros(3, device=self.device)

    def validation_step(self, execution: Execution, batch_idx: int) -> dict[str, Tensor]:
        """Add an execution's losses and hits to the sums; gives its logits and labels to the callbacks."""
        assert self._val_sums is not None
        logits_of, labels_of = [], []
        for images, labels in execution:
            logits = self(images)
            logits_of.append(logits)
            labels_of.append(labels)
            loss = F.cross_entropy(logits, labels, reduction="sum")
            self._val_sums += torch.stack([loss, _num_hits(logits, labels), loss.new_tensor(len(labels))])
        return {"logits": torch.cat(logits_of), "labels": torch.cat(labels_of)}

    def on_validation_epoch_end(self) -> None:
        """Log the figures over all ranks."""
        assert self._val_sums is not None
        loss, hits, count = self.trainer.strategy.reduce(self._val_sums, reduce_op="sum").tolist()
        if not math.isfinite(loss):
            raise NotFiniteLossError(
                f"the validation loss became {loss} in epoch {self.current_epoch + 1}.\n"
                "  Type a smaller learning rate (optimizer.lr=…) or a limit (classifier.gradient_clip_norm=1)."
            )
        self.log_epoch({"val/loss": loss / count, "val/acc": hits / count})

    def log_epoch(self, values: dict[str, float]) -> None:
        """Log figures of an epoch, for the loggers and for callbacks that monitor them.

        The loggers get them at once: Lightning would count executions on the x axis, and pass the figures on only after
        the epoch's checkpoint is written, so that a run killed in between would lose them.
        """
        self.log_dict(values, logger=False)
        for logger in self.trainer.loggers:
            logger.log_metrics({**values, "epoch": self.current_epoch + 1}, step=self.trainer.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not save: the running sums of a half-done epoch, and the random state."""
        self._read_losses()
        self._check_weights()
        sums = self.train_sums
        checkpoint["train_sums"] = [sums.loss_sum, sums.hits, sums.images, sums.batches]
        checkpoint["rng"] = random_state(self)

    def _check_weights(self) -> None:
        """A gradient can overflow though the loss did not; the loss would tell only in the next batch."""
        state = [value for value in self.network.state_dict().values() if value.is_floating_point()]
        if state and not torch.stack([value.isfinite().all() for value in state]).all():
            raise NotFiniteLossError(
                f"the weights are no longer finite numbers in epoch {self.current_epoch + 1}; they were not saved.\n"
                "  Type a smaller learning rate (optimizer.lr=…) or a limit (classifier.gradient_clip_norm=1)."
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        self.train_sums = Sums(*checkpoint["train_sums"])
        self._rng = checkpoint["rng"]


class NotFiniteLossError(UserError):
    """The training diverged."""


@dataclass(frozen=True)
class _Unread:
    """What an execution left on the device."""

    losses: Tensor
    hits: Tensor
    sizes: list[int]
    learning_rates: list[float]  # of each optimizer step
    last_step: int


def _num_hits(logits: Tensor, targets: Tensor) -> Tensor:
    """Labels that are predicted; of mixed images, the share that the predicted class has in them."""
    predicted = logits.argmax(dim=1)
    if targets.is_floating_point():
        return targets.gather(1, predicted.unsqueeze(1)).sum()
    return (predicted == targets).sum().float()
