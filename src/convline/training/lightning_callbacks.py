"""Refuse callbacks of Lightning that would do something else to a `Classifier` than they say."""

from collections.abc import Iterable, Mapping

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    ProgressBar,
    StochasticWeightAveraging,
)

from convline.errors import UserError

REFUSED: dict[type[Callback], str] = {
    StochasticWeightAveraging: "it swaps a learning-rate schedule that Classifier steps itself, and would train the "
    "averaged weights further in the pass for batch normalization.\n"
    "  Type: classifier.ema_decay=0.999, in a script Classifier(ema_decay=0.999); or take Lightning's WeightAveraging",
    LearningRateFinder: "Classifier has no attribute lr that it could set.\n  Type: convline lr-find",
    BatchSizeFinder: "it counts executions of several batches as batches.\n  Type: convline batch-size-find",
    GradientAccumulationScheduler: "Classifier accumulates gradients itself, as many in every epoch.\n"
    "  Type: classifier.accumulate_grad_batches=4",
    BaseFinetuning: "it adds parameter groups that the learning-rate schedule does not know.\n"
    "  Type: 'optimizer.groups={conv*: {frozen: true}}', or optimizer.layer_decay=0.7",
}
REFUSED_IN_RUNS: dict[type[Callback], str] = {
    ModelPruning: "its masks are not in checkpoints, so that a resumed run would be another one.\n"
    "  In a script with a Trainer of your own it works",
}


def check_callbacks(kinds: Iterable[type[Callback]]) -> None:
    """Check that none of these classes of callbacks is one of `REFUSED`.

    Raises:
        UserError: one is.
    """
    for kind in kinds:
        for refused, reason in REFUSED.items():
            if issubclass(kind, refused):
                raise UserError(f"{kind.__name__} does not work with Classifier: {reason}")


def check_callbacks_of_run(callbacks: Mapping[str, Callback], has_our_checkpoint: bool) -> None:
    """Check the callbacks of a run, by their names in the config, before training.

    Raises:
        UserError: one is refused, or two exclude each other.
    """
    bars = [name for name, callback in callbacks.items() if isinstance(callback, ProgressBar)]
    if len(bars) > 1:
        raise UserError(
            f"callbacks.{' and callbacks.'.join(bars)} are two progress bars.\n  Type: '~callbacks.{bars[0]}'"
        )
    for name, callback in callbacks.items():
        for refused, reason in {**REFUSED, **REFUSED_IN_RUNS}.items():
            if isinstance(callback, refused):
                raise UserError(f"callbacks.{name}: {type(callback).__name__} does not work in a run: {reason}")
        if isinstance(callback, ModelCheckpoint) and callback.save_last and not callback.dirpath and has_our_checkpoint:
            raise UserError(
                f"callbacks.{name}.save_last=true would overwrite last.ckpt of callbacks.checkpoint.\n"
                f"  Leave it out, or type: callbacks.{name}.dirpath=DIR"
            )
