"""Write settings and final metrics of each run for TensorBoard's HParams tab."""

import copy
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from convline.callbacks.tensorboard import file_writer
from convline.config.metrics import declare, entries_of
from convline.records.directory import read_config, read_summary
from convline.records.identity import identity

MEASURED = ("acc", "loss")  # in every run
CHOICES = ("data", "data/augment", "model", "optimizer", "scheduler")
STRINGS = ("classifier.class_weights", "trainer.precision")
NUMBERS = (
    "seed",
    "data.batch_size",
    "data.train_fraction",
    "data.per_class",
    "data.fold",
    "data.label_noise",
    "data.imbalance",
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.weight_decay",
    "scheduler.warmup",
    "classifier.label_smoothing",
    "classifier.gradient_clip_norm",
    "classifier.ema_decay",
    "trainer.max_epochs",
)
# The tab opens with five columns of settings: those that "differ", in the order of their names.
SHOWN = ("data", "data.batch_size", "model", "optimizer", "optimizer.lr")

OUTCOME_SUFFIX = ".outcome"  # of the event file that holds final metrics and status


class HParams(Callback):
    """Write the settings of a run when it starts; `write_outcome` writes its final metrics.

    The metrics of the tab have tags of their own (`result/val/acc`, …): torch's `add_hparams` would write NaN into the
    curves, and the last value of a curve is not the best one. It also supports neither groups nor failed runs.

    The settings are read from the run directory: names of the chosen options, and numbers. Runs that differ only in
    their seed share a group, which is one line of the tab with their mean metrics.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the settings, and remove the outcome of the run before it was resumed."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if not loggers or not trainer.is_global_zero:
            return
        from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

        run_dir = Path(trainer.default_root_dir)
        _remove_outcome(run_dir)
        cfg, options = read_config(run_dir), read_summary(run_dir)["choices"]
        settings, group = flat_settings(cfg, options), group_name(cfg, options)
        loggers[0].hparams.update(settings)  # what Lightning writes to hparams.yaml
        start = SessionStartInfo(group_name=group, start_time_secs=time.time())
        for key, value in settings.items():
            kind = "number" if key in NUMBERS else "string"
            setattr(start.hparams[key], f"{kind}_value", value)
        writer = loggers[0].experiment
        names = [*MEASURED, *declare(entries_of(cfg))]
        _add(writer, "_hparams_/experiment", experiment=_columns(names))
        _add(writer, "_hparams_/session_start_info", session_start_info=start)


def _columns(names: Sequence[str]) -> Any:
    """Define the columns of the tab. TensorBoard reads them from one run of a folder only.

    Args:
        names: the names of the metrics.
    """
    from tensorboard.plugins.hparams.api_pb2 import (
        DATA_TYPE_FLOAT64,
        DATA_TYPE_STRING,
        Experiment,
        HParamInfo,
        MetricInfo,
        MetricName,
    )

    tags = [f"result/{split}/{name}" for split in ("val", "test") for name in names]
    types = dict.fromkeys((*CHOICES, *STRINGS), DATA_TYPE_STRING) | dict.fromkeys(NUMBERS, DATA_TYPE_FLOAT64)
    return Experiment(
        hparam_infos=[HParamInfo(name=key, type=kind, differs=key in SHOWN) for key, kind in types.items()],
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in tags],
    )


def group_name(cfg: DictConfig, options: Mapping[str, str]) -> str:
    """Name the group of a run by its network and a hash of its settings without the seed."""
    seedless = copy.copy(cfg)
    seedless.seed = 0
    return f"{options.get('model', 'pattern')} {identity(seedless, code='', data='')[:8]}"


def write_outcome(run_dir: Path, metrics: dict[str, float]) -> None:
    """Write final metrics and status of a run that has ended, and remove those from before it was resumed.

    TensorBoard uses the first outcome that it reads of a run. Therefore the outcome has an event file of its own, which
    is deleted when the run is resumed.

    Args:
        run_dir: the run directory, which holds the event files.
        metrics: value of each tag, such as `result/val/acc`; empty for a run that failed or was interrupted.
    """
    from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo
    from torch.utils.tensorboard import SummaryWriter

    _remove_outcome(run_dir)
    with SummaryWriter(str(run_dir), filename_suffix=OUTCOME_SUFFIX) as writer:
        for tag, value in metrics.items():
            writer.add_scalar(tag, value, 0)
        status = STATUS_SUCCESS if metrics else STATUS_FAILURE
        end = SessionEndInfo(status=status, end_time_secs=time.time())
        _add(writer, "_hparams_/session_end_info", session_end_info=end)


def _remove_outcome(run_dir: Path) -> None:
    for path in run_dir.glob(f"events.out.tfevents.*{OUTCOME_SUFFIX}"):
        path.unlink()


def _add(writer: Any, tag: str, **content: Any) -> None:
    # not with TensorBoard's own helpers, which import TensorFlow
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.metadata import create_summary_metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    metadata = create_summary_metadata(HParamsPluginData(**content))
    file_writer(writer).add_summary(Summary(value=[Summary.Value(tag=tag, metadata=metadata)]))


def flat_settings(cfg: DictConfig, options: Mapping[str, str]) -> dict[str, Any]:
    """Select the settings that the tab shows, without nulls: `{"model": "lenet", "optimizer.lr": 0.05, …}`.

    Args:
        cfg: the run's config.
        options: the chosen option of each config group.
    """
    settings = {key: options[key] for key in CHOICES if key in options}
    settings.update({key: OmegaConf.select(cfg, key) for key in (*NUMBERS, *STRINGS)})
    return {key: value for key, value in settings.items() if value is not None}
