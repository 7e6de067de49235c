"""Report a metric to Optuna after each epoch, and stop trials that its pruner rejects."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convline.errors import Pruned


class Pruning(Callback):
    """Report a metric to the study after every epoch, and raise `Pruned` if the pruner rejects the trial.

    A search puts this callback into the config of its trials, so that it works on any machine and any rank.

    Args:
        metric: name of the validation metric.
        study: name of the study.
        number: number of the trial in the study.
        pruner: the study's Optuna pruner.
        storage: URL of the study's database; None stands for `study.db` beside the run directory.
    """

    def __init__(self, metric: str, study: str, number: int, pruner: Any, storage: str | None) -> None:
        self.metric, self.study, self.number, self.pruner, self.storage = metric, study, number, pruner, storage
        self._trial: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the trial from the study; if the study has finished it already, train without reports."""
        if not trainer.is_global_zero:
            return
        import optuna

        url = self.storage or f"sqlite:///{Path(trainer.default_root_dir).absolute().parent / 'study.db'}"
        study = optuna.load_study(study_name=self.study, storage=url, pruner=self.pruner)
        stored = study.get_trials(deepcopy=False)[self.number]
        # Private in Optuna 4.9 to 5.0, which has no public way to continue a trial that another process has created.
        # If it is renamed, every trial of a search with a pruner fails here with an AttributeError.
        self._trial = None if stored.state.is_finished() else optuna.Trial(study, stored._trial_id)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the metric of the epoch to the study, and ask the pruner.

        Raises:
            Pruned: the pruner rejects the trial; raised on all ranks.
        """
        is_pruned = False
        if self._trial is not None and getattr(pl_module, "is_validated", True):
            epoch = trainer.current_epoch + 1
            # a resumed run repeats the epoch that was interrupted, and Optuna ignores a second report with a warning
            if epoch not in self._trial.study.get_trials(deepcopy=False)[self.number].intermediate_values:
                self._trial.report(float(trainer.callback_metrics[self.metric]), epoch)
            is_pruned = epoch < (trainer.max_epochs or 0) and self._trial.should_prune()
        if trainer.strategy.reduce_boolean_decision(is_pruned, all=False):
            raise Pruned
