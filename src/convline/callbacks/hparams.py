"""Write settings and final metrics of each run for TensorBoard's HParams tab."""

import copy
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from convline.callbacks.tensorboard import file_writer
from convline.config.metrics import declare, entries_of
from convline.config.options import option_file
from convline.errors import UserError
from convline.formatting import flattened, setting_text
from convline.records.directory import read_config, read_summary
from convline.records.identity import identity, is_excluded_from_hash

MEASURED = ("acc", "loss")  # in every run
CHOICES = ("data", "data/augment", "model", "loss", "optimizer", "scheduler")
# The tab opens with the columns that "differ", in the order of their names: these, and what a sweep varies.
SHOWN = ("data", "data.batch_size", "model", "optimizer", "optimizer.lr")
TEXTS = ("tta",)  # settings that are null or a text; other settings that are null may be numbers
INNER = ("_target_", "_partial_", "_convert_")  # keys that say how to build a node; a replaced `_target_` is shown

OUTCOME_SUFFIX = ".outcome"  # of the event file that holds final metrics and status


class HParams(Callback):
    """Write the settings of a run when it starts; `write_outcome` writes its final metrics.

    The metrics of the tab have tags of their own (`result/val/acc`, …): torch's `add_hparams` would write NaN into the
    curves, and the last value of a curve is not the best one. It also supports neither groups nor failed runs.

    The settings are read from the run directory: the chosen options, with what was replaced in them, and every value
    that can change a result or that a sweep varies. Runs that differ only in their seed share a group, which is one
    line of the tab with their mean metrics.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the settings, and remove the outcome of the run before it was resumed."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if not loggers or not trainer.is_global_zero:
            return
        from tensorboard.plugins.hparams.plugin_data_pb2 import SessionStartInfo

        run_dir = Path(trainer.default_root_dir)
        _remove_outcome(run_dir)
        cfg, summary = read_config(run_dir), read_summary(run_dir)
        choices = summary.get("choices", {})
        varied = varied_settings(summary)
        settings = flat_settings(cfg, choices, varied)
        set_values = {key: value for key, value in settings.items() if value is not None}
        loggers[0].hparams.update(set_values)  # what Lightning writes to hparams.yaml
        start = SessionStartInfo(group_name=group_name(cfg, choices), start_time_secs=time.time())
        for key, value in set_values.items():
            kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
            setattr(start.hparams[key], f"{kind}_value", value)
        writer = loggers[0].experiment
        names = [*MEASURED, *declare(entries_of(cfg))]
        _add(writer, "_hparams_/experiment", experiment=_columns(settings, varied, names))
        _add(writer, "_hparams_/session_start_info", session_start_info=start)


def _columns(settings: Mapping[str, Any], varied: Collection[str], names: Sequence[str]) -> Any:
    """Define the columns of the tab. TensorBoard reads them from one run of a folder only.

    Args:
        settings: the settings of the run; null for a setting without a value.
        varied: the settings that a sweep varies.
        names: the names of the metrics.
    """
    from tensorboard.plugins.hparams.api_pb2 import (
        DATA_TYPE_BOOL,
        DATA_TYPE_FLOAT64,
        DATA_TYPE_STRING,
        Experiment,
        HParamInfo,
        MetricInfo,
        MetricName,
    )

    def type_of(key: str, value: Any) -> Any:
        if isinstance(value, bool):
            return DATA_TYPE_BOOL
        return DATA_TYPE_STRING if isinstance(value, str) or key in TEXTS else DATA_TYPE_FLOAT64

    shown = {*SHOWN, *varied} - {"seed"}  # runs that differ in it are one line
    tags = [f"result/{split}/{name}" for split in ("val", "test") for name in names]
    return Experiment(
        hparam_infos=[
            HParamInfo(name=key, type=type_of(key, value), differs=key in shown) for key, value in settings.items()
        ],
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in tags],
    )


def varied_settings(summary: Mapping[str, Any]) -> set[str]:
    """Return the settings and groups that the sweep of a run varies; none of a single run."""
    return {str(word).partition("=")[0].lstrip("+") for word in summary.get("swept", [])}


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


def flat_settings(cfg: DictConfig, options: Mapping[str, str], varied: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings that the tab shows: `{"model": "lenet", "optimizer.lr": 0.05, …}`; lists are texts.

    Args:
        cfg: the run's config.
        options: the chosen option of each config group.
        varied: settings to show although they change no result.
    """
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    settings: dict[str, Any] = {key: _option_text(content, key, options[key]) for key in CHOICES if key in options}
    for key, value in flattened(content):
        is_inner = key.rpartition(".")[2] in INNER or (key == "data.augment" and "data/augment" in settings)
        if key in varied or not (is_inner or is_excluded_from_hash(key)):
            settings[key] = value if value is None or isinstance(value, bool | int | float) else setting_text(value)
    return settings


def _option_text(content: Mapping[str, Any], group: str, option: str) -> str:
    """Name an option, with the texts and lists of its file that the run has replaced; numbers have columns."""
    node = content.get(group.partition("/")[0]) or {}
    try:
        file = yaml.safe_load(option_file(group, option).read_text(encoding="utf-8")) or {}
    except (KeyError, OSError, ValueError, UserError, yaml.YAMLError):  # an option that is not there any more
        return option
    replaced = {
        key: node[key]
        for key, value in file.items()
        if key in node and isinstance(value, str | list) and "${" not in str(value) and node[key] != value
    }
    replaced.pop("defaults", None)
    if not replaced:
        return option
    texts = [setting_text(value) for value in replaced.values()]
    if group == "data/augment":
        return texts[0]
    return f"{option} with {', '.join(f'{key}={text}' for key, text in zip(replaced, texts, strict=True))}"
