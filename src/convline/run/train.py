"""One run: config -> objects -> fit -> test -> record."""

import copy
import logging
import os
import shlex
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from omegaconf import DictConfig
from torch import nn

from convline.callbacks import after_test
from convline.callbacks.checkpoint import BestAndLast
from convline.callbacks.hparams import write_outcome
from convline.callbacks.interrupt import StopOnSignal, stoppable
from convline.data.datamodule import DataModule
from convline.errors import Interrupted, Pruned, UserError
from convline.formatting import first_line, shape_text
from convline.network.summary import NetworkSummary, summarize
from convline.records import directory as runs
from convline.records import provenance, test_log
from convline.records.lock import locked
from convline.run import console
from convline.run import launch as ranks
from convline.storage import write_json
from convline.training.classifier import Classifier
from convline.training.evaluation import evaluate
from convline.training.loaded_run import LoadedRun
from convline.training.setup import LIMITS, build, instantiated

FIGURES = ("val/acc", "val/loss", "test/acc", "test/loss")


def start(cfg: DictConfig, parent: Path, name: str, choices: dict[str, str]) -> dict[str, Any]:
    """Do a new run in a directory of its own.

    Args:
        cfg: the whole config.
        parent: where the directory is made.
        name: of the directory.
        choices: which option was taken of each config group.
    Returns:
        What summary.json holds at the end.
    Raises:
        UserError: a setting or the data are wrong; if that shows before training, no directory is left behind.
    """
    run_dir = runs.create(parent, name)
    runs.lay_out(run_dir, cfg, choices=choices)
    with locked(run_dir), stoppable(_resume_command(run_dir)):
        try:
            return run_or_resume(run_dir)
        except UserError:
            if "started" not in runs.read_summary(run_dir):
                shutil.rmtree(run_dir)
            raise


def resume(run_dir: Path) -> dict[str, Any]:
    """Go on with a run that was interrupted, killed or failed, from its last checkpoint.

    Raises:
        UserError: `run_dir` is no run, is running, or its checkpoints are damaged.
    """
    runs.read_config(run_dir)
    summary = runs.read_summary(run_dir)
    if summary["status"] == "finished":
        console.print_notice(f"{run_dir} is finished already; nothing was done.")
        console.print_outcome(run_dir, summary)
        return summary
    with locked(run_dir), stoppable(_resume_command(run_dir)):
        return run_or_resume(run_dir)


def run_or_resume(run_dir: Path) -> dict[str, Any]:
    """Train the run that lies in a directory, which this process has locked, from its newest checkpoint or the start.

    Returns:
        What summary.json holds at the end.
    Raises:
        UserError: a setting, the data or the checkpoints are wrong.
    """
    cfg, is_new = runs.read_config(run_dir), runs.read_summary(run_dir)["status"] == "waiting"
    checkpoint, complaints = runs.newest_checkpoint(run_dir)
    for complaint in complaints:
        console.print_notice(f"{complaint}\n  Going on from {checkpoint} instead.")
    if checkpoint:
        console.print_notice(f"Going on from {checkpoint}.")
    elif not is_new:
        console.print_notice("There is no checkpoint yet: from the beginning.")
    runs.update_summary(run_dir, status="running", pid=os.getpid())
    return _train(cfg, run_dir, checkpoint)


def fit_rank(run_dir: Path, checkpoint: Path | None) -> None:
    """Fit as one of several ranks, the first of which has made the run directory."""
    cfg = runs.read_config(run_dir)
    _quiet()
    try:
        with stoppable(""):
            data, classifier = build(cfg)
            _fit(_make_trainer(cfg, run_dir, checkpoint), classifier, data, checkpoint)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def fitting_table(network: nn.Module, data: DataModule, world_size: int) -> NetworkSummary:
    """The network's layer table, if it takes the images, in batches of that size, and gives a logit for each class.

    Raises:
        UserError: it does not.
    """
    try:
        table = summarize(network, data.input_shape)
    except ValueError as error:
        raise UserError(f"model and data do not fit: {error}") from error
    if table.output_shape != (data.num_classes,):
        raise UserError(
            f"model and data do not fit: the network gives {shape_text(table.output_shape)} numbers an image, "
            f"but there are {data.num_classes} classes.\n  Type: model.num_classes={data.num_classes}"
        )
    smallest = min(data.batch_size, data.last_train_batch(world_size))
    if smallest == 1 and not _takes_one_image(network, data.input_shape):
        raise UserError(
            f"batch normalisation cannot train on a batch of one image, but with data.batch_size={data.batch_size} "
            f"the last of {len(data.train_indices):,} images are alone.\n"
            f"  Type another size: data.batch_size={data.batch_size + 1}"
        )
    return table


def _takes_one_image(network: nn.Module, shape: tuple[int, ...]) -> bool:
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(network).train()(torch.zeros(1, *shape))
    except ValueError:
        return False
    return True


def _train(cfg: DictConfig, run_dir: Path, checkpoint: Path | None) -> dict[str, Any]:
    """Fit, test and record; whatever happens, summary.json says so."""
    clock = time.perf_counter()
    earlier = runs.read_summary(run_dir)["seconds"]
    try:
        _quiet()
        data, classifier = build(cfg)
        table = fitting_table(classifier.network, data, cfg.trainer.devices)
        trainer = _make_trainer(cfg, run_dir, checkpoint)
        _record_identity(cfg, run_dir, data)
        runs.update_summary(run_dir, parameters=table.parameters, macs=table.macs)
        console.print_header(run_dir, data, table, data.loader_choice(trainer.strategy.root_device).reason)
        if _has_stopped(checkpoint):
            pass  # early stopping had ended the training; the test was still to come
        elif cfg.trainer.devices > 1:
            ranks.fit(run_dir, checkpoint, cfg.trainer.devices, _resume_command(run_dir))
        else:
            _fit(trainer, classifier, data, checkpoint)
        outcome = _test(cfg, run_dir, trainer.strategy.root_device, classifier, data)
    except BaseException as error:
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        status = "interrupted" if stopped else "pruned" if isinstance(error, Pruned) else "failed"
        seconds = earlier + time.perf_counter() - clock
        why = None if status == "pruned" else first_line(error)
        runs.update_summary(run_dir, status=status, error=why, seconds=seconds)
        _show_outcome(cfg, run_dir, {})
        raise
    seconds = earlier + time.perf_counter() - clock
    runs.update_summary(run_dir, status="finished", error=None, seconds=seconds, **outcome)
    metrics = outcome["metrics"]
    _show_outcome(cfg, run_dir, {f"result/{key}": metrics[key] for key in FIGURES})
    summary = runs.read_summary(run_dir)
    try:  # nothing is lost from here on: whoever does not wait for the pictures need not test again
        with stoppable(f"convline figures {shlex.quote(str(run_dir))}"):
            after_test.run_after_test(trainer, LoadedRun(run_dir, cfg, data, classifier.evaluated))
    finally:
        console.print_outcome(run_dir, summary)
    return summary


def _has_stopped(checkpoint: Path | None) -> bool:
    callbacks = runs.load_checkpoint(checkpoint)["callbacks"] if checkpoint else {}
    return bool(callbacks.get(BestAndLast.state_key, {}).get("stopped"))


def _record_identity(cfg: DictConfig, run_dir: Path, data: DataModule) -> None:
    fingerprint = data.fingerprint()
    runs.check_data(run_dir, fingerprint)
    if not (run_dir / "environment.json").exists():  # a resumed run keeps what it began with
        environment = {**provenance.environment(fingerprint), "split": data.split_record()}
        write_json(run_dir / "environment.json", environment)
        identity = provenance.identity(cfg, provenance.code_key(), fingerprint)
        runs.update_summary(run_dir, identity=identity, started=environment["started"])


def _show_outcome(cfg: DictConfig, run_dir: Path, metrics: dict[str, float]) -> None:
    """Fill the HParams tab, if there is one."""
    if (cfg.callbacks or {}).get("hparams") and any(run_dir.glob("events.out.tfevents.*")):
        write_outcome(run_dir, metrics)


def _resume_command(run_dir: Path) -> str:
    return f"python train.py {shlex.quote(f'resume={run_dir}')}"


def _make_trainer(cfg: DictConfig, run_dir: Path, checkpoint: Path | None) -> pl.Trainer:
    callbacks = [instantiated(cfg, f"callbacks.{name}") for name, node in (cfg.callbacks or {}).items() if node]
    keeper = next((c for c in callbacks if isinstance(c, BestAndLast)), None)
    loggers = []
    for name in [name for name, node in (cfg.logger or {}).items() if node]:
        extra: dict[str, Any] = {"save_dir": str(run_dir)}
        if checkpoint is not None and cfg.logger[name]["_target_"].endswith("TensorBoardLogger"):
            # what a killed run logged after its last checkpoint comes again
            extra["purge_step"] = runs.load_checkpoint(checkpoint)["global_step"] + 1
        loggers.append(instantiated(cfg, f"logger.{name}", **extra))
    return instantiated(
        cfg,
        "trainer",
        without=LIMITS,  # counted in batches, which the data module does
        callbacks=[*callbacks, StopOnSignal(keeper, _resume_command(run_dir))],
        logger=loggers,
        default_root_dir=str(run_dir),
        strategy="ddp" if cfg.trainer.devices > 1 else "auto",
        plugins=[LightningEnvironment()],
        enable_checkpointing=keeper is not None,
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _fit(trainer: pl.Trainer, classifier: Classifier, data: DataModule, checkpoint: Path | None) -> None:
    if trainer.global_rank > 0:  # same weights, other dropout
        torch.manual_seed(torch.initial_seed() + trainer.global_rank)
    trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint, weights_only=True)


def _test(
    cfg: DictConfig, run_dir: Path, device: torch.device, classifier: Classifier, data: DataModule
) -> dict[str, Any]:
    """Evaluate the best checkpoint, chosen by validation, on the official test set; once."""
    metrics: dict[str, float] = {}
    best_epoch = None
    if (cfg.callbacks or {}).get("checkpoint"):
        checkpoint = runs.load_checkpoint(run_dir / "checkpoints" / "best.ckpt")
        classifier.load_state_dict(checkpoint["state_dict"])
        best = checkpoint["callbacks"][BestAndLast.state_key]
        best_epoch = best["best_epoch"]
        metrics.update({k: v for k, v in best["best_metrics"].items() if k.startswith(("train/", "val/"))})
    classifier.to(device)
    class_accuracy = {}
    for part in ("val", "test"):
        evaluation = evaluate(classifier.evaluated, data.eval_loader(part, device), cfg.trainer.precision)
        if part == "test":
            test_log.record(run_dir, "train", data.fingerprint())
        evaluation.save(run_dir / "predictions" / f"{part}.npz")
        metrics[f"{part}/acc"], metrics[f"{part}/loss"] = evaluation.accuracy, evaluation.loss
        if cfg.tta is not None:
            augmented = evaluate(classifier.evaluated, data.eval_loader(part, device), cfg.trainer.precision, cfg.tta)
            metrics[f"{part}/acc_tta"], metrics[f"{part}/loss_tta"] = augmented.accuracy, augmented.loss
        class_accuracy[part] = dict(zip(data.classes, evaluation.class_accuracy(), strict=True))
    return {"metrics": metrics, "best_epoch": best_epoch, "class_accuracy": class_accuracy}


def _quiet() -> None:
    """Hide Lightning's advice that does not apply to this loader and these loggers.

    The filters match the texts of Lightning 2.6.6; a release that words one of them otherwise shows it again.
    """
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.fabric.utilities.cloud_io"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # the figures are reduced already
    warnings.filterwarnings("ignore", message=".*torch.distributed.nn.functional.all_gather.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")  # a run need not be a job of Slurm
    warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*")
