"""Ends a trial of a search that does worse than others did at its age."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convline.errors import Pruned


class Pruning(Callback):
    """Reports a metric to the search after every epoch, and ends the run if its pruner says so.

    A search puts it into the config of its trials, so that it is there on whatever machine and in whatever rank a trial
    is trained.

    Args:
        metric: of the epoch, of validation.
        study: name of the study.
        number: of the trial.
        pruner: Optuna's.
        storage: URL of the study's database; None: `study.db` beside the run's directory.
    """

    def __init__(self, metric: str, study: str, number: int, pruner: Any, storage: str | None) -> None:
        self.metric, self.study, self.number, self.pruner, self.storage = metric, study, number, pruner, storage
        self._trial: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the study; a trial that it has closed already is trained without it."""
        if not trainer.is_global_zero:
            return
        import optuna

        url = self.storage or f"sqlite:///{Path(trainer.default_root_dir).absolute().parent / 'study.db'}"
        study = optuna.load_study(study_name=self.study, storage=url, pruner=self.pruner)
        found = study.get_trials(deepcopy=False)[self.number]
        self._trial = None if found.state.is_finished() else optuna.Trial(study, found._trial_id)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report and ask.

        Raises:
            Pruned: the run is not worth going on with.
        """
        is_pruned = False
        if self._trial is not None:
            epoch = trainer.current_epoch + 1
            if epoch not in self._trial.study.get_trials(deepcopy=False)[self.number].intermediate_values:
                self._trial.report(float(trainer.callback_metrics[self.metric]), epoch)
            is_pruned = epoch < (trainer.max_epochs or 0) and self._trial.should_prune()
        if trainer.strategy.reduce_boolean_decision(is_pruned, all=False):
            raise Pruned
