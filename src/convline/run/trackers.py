"""Give trackers, such as Weights & Biases, MLflow, Trackio and Comet, what Lightning's Trainer does not.

They get the config before training, and at the end the final metrics, the figures and the status; then their run is
closed, so that the next job of a sweep begins another one. A resumed run goes on in the same run of the tracker, whose
id is in summary.json.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from convline.records.directory import read_summary, update_summary
from convline.training.csv_logger import MetricsCsv

# The argument of a logger that continues a run of its tracker, by the name of its class.
RUN_ID = {"WandbLogger": "id", "MLFlowLogger": "run_id", "CometLogger": "experiment_key", "TrackioLogger": "name"}
ENDED = {"finished": "success", "failed": "failed", "pruned": "success", "interrupted": "failed"}


def arguments_of(run_dir: Path, name: str, target: str) -> dict[str, Any]:
    """Return the arguments by which a logger writes into the run directory, and continues its tracker's run if any.

    Args:
        run_dir: the run directory.
        name: name of the logger in the config.
        target: its `_target_`.
    """
    kind = target.rpartition(".")[2]
    run_id = read_summary(run_dir).get("trackers", {}).get(name)
    arguments = {"save_dir": str(run_dir)}
    if kind in RUN_ID and run_id:
        arguments[RUN_ID[kind]] = run_id
    if kind == "WandbLogger":
        arguments |= {"resume": "allow", "name": run_dir.name}
    elif kind == "CometLogger":
        # A folder of its own for each start: Comet draws the names of its archives from Python's random module, which
        # the run has seeded, so that a resumed run would overwrite the archive of its beginning.
        folder = run_dir / "comet" / str(len(list((run_dir / "comet").glob("*"))))
        folder.mkdir(parents=True, exist_ok=True)
        del arguments["save_dir"]
        arguments |= {"offline_directory": str(folder), "name": run_dir.name}
    elif kind == "MLFlowLogger":
        arguments["run_name"] = run_dir.name
    elif kind == "TrackioLogger":
        arguments = {"name": run_id or run_dir.name, **arguments}
    return arguments


def is_tracker(logger: Logger) -> bool:
    """Return whether a logger is none of the two that write into the run directory."""
    return not isinstance(logger, TensorBoardLogger | MetricsCsv)


def begin(loggers: Mapping[str, Logger], cfg: DictConfig, run_dir: Path) -> None:
    """Log the config to each tracker, and keep the id of its run."""
    ids = {}
    for name, logger in loggers.items():
        if is_tracker(logger):
            settings: Any = OmegaConf.to_container(cfg, resolve=True)
            logger.log_hyperparams(settings)
            ids[name] = str(logger.version)
    if ids:
        update_summary(run_dir, trackers=ids)


def end(loggers: Iterable[Logger], run_dir: Path, status: str, metrics: Mapping[str, float]) -> None:
    """Log the final metrics and the figures to each tracker, and close its run with the status of ours."""
    final = {key: value for key, value in metrics.items() if not key.startswith("train/")}
    figures = sorted((run_dir / "pictures").glob("*.png"))
    for logger in filter(is_tracker, loggers):
        if final:
            logger.log_metrics(final)
        _END.get(type(logger).__name__, _end_other)(logger, figures, status)


def _end_wandb(logger: Any, figures: Iterable[Path], status: str) -> None:
    for path in figures:
        logger.log_image(f"pictures/{path.stem}", [str(path)])
    logger.experiment.summary["status"] = status
    logger.experiment.finish(exit_code=0 if ENDED[status] == "success" else 1)


def _end_mlflow(logger: Any, figures: Iterable[Path], status: str) -> None:
    client, run_id = logger.experiment, logger.run_id
    for path in figures:
        client.log_artifact(run_id, str(path), "pictures")
    client.set_tag(run_id, "status", status)
    client.set_terminated(run_id, {"success": "FINISHED", "failed": "FAILED"}[ENDED[status]])


def _end_comet(logger: Any, figures: Iterable[Path], status: str) -> None:
    for path in figures:
        logger.experiment.log_image(str(path), f"pictures/{path.stem}")
    logger.experiment.log_other("status", status)
    logger.experiment.end()


def _end_trackio(logger: Any, figures: Iterable[Path], status: str) -> None:
    for path in figures:
        logger.log_image(f"pictures/{path.stem}", [path])
    logger.log_metrics({"status": status})
    logger.finalize(ENDED[status])


def _end_other(logger: Any, figures: Iterable[Path], status: str) -> None:
    logger.finalize(ENDED[status])


_END = {
    "WandbLogger": _end_wandb,
    "MLFlowLogger": _end_mlflow,
    "CometLogger": _end_comet,
    "TrackioLogger": _end_trackio,
}
