"""Train one run: config → data, network and trainer → fit → test → records.

`start.py` begins or resumes a run and calls `train`; `_train` is the recipe. Its steps follow below it, in the order in
which they happen.
"""

import copy
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from omegaconf import DictConfig, OmegaConf
from torch import nn

from convline.callbacks import after_test
from convline.callbacks.checkpoint import BestAndLast, CheckpointFile, best_epoch_of
from convline.callbacks.failures import failures_reported
from convline.callbacks.hparams import write_outcome
from convline.callbacks.interrupt import StopOnSignal
from convline.config.schema import STRATEGY
from convline.config.signatures import locate
from convline.data.datamodule import DataModule
from convline.errors import Interrupted, Pruned, UserError
from convline.formatting import figures_command, first_line, plural, resume_command, shape_text
from convline.network.summary import NetworkSummary, summarize
from convline.records import foreign_code, identity, provenance, test_log
from convline.records.checkpoints import load_checkpoint, load_weights, newest_checkpoint
from convline.records.directory import (
    check_data,
    read_environment,
    read_summary,
    update_summary,
)
from convline.run import console, trackers
from convline.run.world import World
from convline.signals import signals_blocked, stoppable
from convline.storage import write_json
from convline.training.classifier import Classifier
from convline.training.evaluation import evaluate, measure
from convline.training.lightning_callbacks import check_callbacks_of_run
from convline.training.loaded_run import LoadedRun
from convline.training.restored_state import check_training_state, error_of_restoring
from convline.training.setup import LIMITS, build, instantiate_node, uses_cuda
from convline.training.trial_step import check_step


def train(cfg: DictConfig, run_dir: Path, world: World) -> dict[str, Any]:
    """Train the run of a directory from its newest checkpoint, or from the beginning if there is none.

    Args:
        cfg: its config.
        run_dir: a locked run directory.
        world: the ranks that train it, of which this is the first.
    Returns:
        The content of summary.json at the end.
    Raises:
        UserError: a setting, the data or the checkpoints are wrong.
    """
    is_new = read_summary(run_dir)["status"] == "waiting"
    world.tell_lightning()
    checkpoint, complaints = newest_checkpoint(run_dir)
    for complaint in complaints:
        console.print_notice(f"{complaint}\n  Going on from {checkpoint} instead.")
    if checkpoint:
        console.print_notice(f"Going on from {checkpoint}.")
    elif not is_new:
        console.print_notice("There is no checkpoint yet: from the beginning.")
    update_summary(run_dir, status="running", pid=os.getpid())
    return _train(cfg, run_dir, checkpoint, world)


def _train(cfg: DictConfig, run_dir: Path, checkpoint: Path | None, world: World) -> dict[str, Any]:
    """Fit, test and record a run; a failure is recorded in summary.json too, and raised again."""
    begin = time.perf_counter() - read_summary(run_dir).get("seconds", 0)  # a resumed run adds to its earlier time
    loggers: dict[str, Logger] = {}
    try:
        _hide_irrelevant_warnings()
        data, classifier = build(_with_executions(cfg))
        network_summary = _check_fit(classifier.network, data, world.size)
        classifier.build_optimizer()  # fails here, before anything is recorded, if it cannot be built
        if not cfg.compile:  # which would compile the network for two images
            check_step(classifier, data)
        loggers = _make_loggers(cfg, run_dir, checkpoint)
        trainer = _make_trainer(cfg, run_dir, loggers.values(), world)
        device = trainer.strategy.root_device
        _record_identity(cfg, run_dir, data)
        _record_ranks(run_dir, world.size)
        update_summary(run_dir, parameters=network_summary.parameters, macs=network_summary.macs)
        console.print_header(run_dir, data, network_summary, data.loader_choice(device).reason, world.size)

        trackers.begin(loggers, cfg, run_dir)
        is_complete = False
        if checkpoint:
            state = load_checkpoint(checkpoint)
            # the training may be complete: the run was interrupted between early stopping and the test
            is_complete = _has_stopped_early(state)
            if not is_complete:
                check_training_state(state, checkpoint, classifier, data, trainer)
            del state  # weights and moments, which the fit reads by itself
        _meet(world, data, checkpoint, is_complete)
        if not is_complete:
            _fit(trainer, classifier, data, checkpoint)

        results = _test(cfg, run_dir, device, classifier, data)
    except BaseException as error:
        cause = world.cause_of(error)
        world.fail(cause)
        with signals_blocked():  # a second signal must not leave the status "running"
            _record_failure(cfg, run_dir, cause, time.perf_counter() - begin)
        with failures_reported("ending the trackers", LoadedRun(run_dir, cfg)):
            trackers.end(loggers.values(), run_dir, read_summary(run_dir)["status"], {})
        if cause is error:
            raise
        raise cause from error
    seconds = time.perf_counter() - begin
    update_summary(run_dir, status="finished", error=None, seconds=seconds, **results)
    outcome = {f"result/{key}": value for key, value in results["metrics"].items() if not key.startswith("train/")}
    _record_hparams(cfg, run_dir, outcome)
    summary = read_summary(run_dir)
    run = LoadedRun(run_dir, cfg, data, classifier.evaluated_network)
    try:
        # The run is finished. An interruption only skips the remaining figures, which the command can draw later.
        with stoppable(figures_command(run_dir)):
            after_test.run_after_test(trainer, run)
            with failures_reported("ending the trackers", run):
                trackers.end(loggers.values(), run_dir, "finished", summary["metrics"])
    finally:
        console.print_outcome(run_dir, summary)
        world.end()
    return summary


def fit_rank(cfg: DictConfig, run_dir: Path, world: World) -> None:
    """Fit a run on another rank than the first, which does everything else: it makes the directory, tests and records.

    Raises:
        UserError: this rank has other data than the first one, or a rank has failed.
    """
    world.tell_lightning()
    _hide_irrelevant_warnings()
    data, classifier = build(_with_executions(cfg))
    checkpoint, is_complete = _meet(world, data)
    if not is_complete:
        loggers = _make_loggers(cfg, run_dir, checkpoint)
        try:
            _fit(_make_trainer(cfg, run_dir, loggers.values(), world), classifier, data, checkpoint)
        except RuntimeError as error:
            if (cause := world.cause_of(error)) is error:
                raise
            raise cause from error
    world.wait_for_end()


def _meet(
    world: World, data: DataModule, checkpoint: Path | None = None, is_complete: bool = False
) -> tuple[Path | None, bool]:
    """Wait until all ranks are ready to fit.

    Args:
        world: the ranks.
        data: the data of this rank.
        checkpoint, is_complete: on the first rank, where to go on from, and whether nothing is left to train.
    Returns:
        The last two arguments of the first rank.
    Raises:
        UserError: a rank has other data, or has failed.
    """
    if world.size == 1:
        return checkpoint, is_complete
    world.check_same("data", data.fingerprint())
    path, is_complete = world.exchange("checkpoint", [checkpoint and str(checkpoint), is_complete])[0]
    return Path(path) if path else None, is_complete


def _hide_irrelevant_warnings() -> None:
    """Hide the advice of Lightning that does not apply to this loader and these loggers.

    The filters match the texts of Lightning 2.6.6; if a release rewords one of them, its warning is shown again.
    """
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.fabric.utilities.cloud_io"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # the metrics are reduced already
    warnings.filterwarnings("ignore", message=".*torch.distributed.nn.functional.all_gather.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")  # a run need not be a job of Slurm
    warnings.filterwarnings("ignore", message=".*lr scheduler dict contains the key.*")  # see Classifier
    warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*")


def _with_executions(cfg: DictConfig) -> DictConfig:
    """Return the config with one step an execution if a foreign callback looks at single batches.

    Such a callback would otherwise see an execution of several optimizer steps as one batch. No result changes by it.
    """
    hooks = ("on_train_batch_start", "on_train_batch_end")  # the hooks of a step itself are called in each
    for name, node in (cfg.callbacks or {}).items():
        target = node["_target_"] if node else "convline."
        if not target.startswith("convline."):
            found = locate(target, f"callbacks.{name}._target_")
            if any(getattr(found, hook, None) is not getattr(pl.Callback, hook) for hook in hooks):
                if cfg.steps_per_execution > 1:
                    console.print_notice(f"callbacks.{name} looks at single batches: one optimizer step an execution")
                return OmegaConf.merge(cfg, {"steps_per_execution": 1})  # type: ignore[return-value]
    return cfg


def _check_fit(network: nn.Module, data: DataModule, num_ranks: int) -> NetworkSummary:
    """Check that a network can train on the data, and summarize it.

    Raises:
        UserError: the network cannot take the images, does not give one logit a class, or cannot train on the smallest
            batch.
    """
    try:
        network_summary = summarize(network, data.input_shape)
    except ValueError as error:
        raise UserError(f"model and data do not fit: {error}") from error
    if network_summary.output_shape != (data.num_classes,):
        raise UserError(
            f"model and data do not fit: the network gives {shape_text(network_summary.output_shape)} numbers an image,"
            f" but there are {data.num_classes} classes.\n  Type: model.num_classes={data.num_classes}"
        )
    if num_ranks > 1 and (num_images := len(data.validated_indices())) < num_ranks:
        raise UserError(
            f"{plural(num_images, 'validation image')} cannot be divided among {num_ranks} ranks.\n"
            "  Type fewer trainer.devices, or a larger data.val_fraction, data.val_size or trainer.limit_val_batches"
        )
    smallest_batch = data.smallest_share(num_ranks)
    if smallest_batch == 1 and not _can_train_on_one_image(network, data.input_shape):
        raise UserError(
            f"batch normalization cannot train on a batch of one image, but with data.batch_size={data.batch_size} "
            f"the last of {len(data.train_indices):,} images are alone.\n"
            f"  Type another size: data.batch_size={data.batch_size + 1}"
        )
    return network_summary


def _can_train_on_one_image(network: nn.Module, input_shape: tuple[int, ...]) -> bool:
    try:
        # a copy, because the forward pass changes the running statistics of batch norm
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(network).train()(torch.zeros(1, *input_shape))
    except ValueError:
        return False
    return True


def _make_trainer(cfg: DictConfig, run_dir: Path, loggers: Iterable[Logger], world: World) -> pl.Trainer:
    if cfg.trainer.precision == "16-mixed" and not uses_cuda(cfg):  # Lightning would take another precision
        raise UserError("trainer.precision=16-mixed needs a GPU.\n  Type: trainer.precision=bf16-mixed")
    named = {name: instantiate_node(cfg, f"callbacks.{name}") for name, node in (cfg.callbacks or {}).items() if node}
    callbacks = list(named.values())
    checkpoint_callback = next((c for c in callbacks if isinstance(c, BestAndLast)), None)
    check_callbacks_of_run(named, checkpoint_callback is not None)
    return instantiate_node(
        cfg,
        "trainer",
        without=(*LIMITS, "rendezvous_minutes"),  # the data module counts the batches, and applies the limits
        callbacks=[*callbacks, StopOnSignal(checkpoint_callback, resume_command(run_dir))],
        logger=list(loggers),
        default_root_dir=str(run_dir),
        devices=world.num_devices,
        num_nodes=world.num_nodes,
        strategy=_strategy(cfg, world),
        plugins=[world.environment(), CheckpointFile()],
        enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _strategy(cfg: DictConfig, world: World) -> Any:
    """Return the strategy of the trainer: data parallelism if there are several ranks.

    Raises:
        UserError: the strategy is another one, or a setting of several ranks has no effect.
    """
    if cfg.trainer.get("sync_batchnorm") and world.size > 1 and not uses_cuda(cfg):
        raise UserError("trainer.sync_batchnorm=true needs GPUs: torch has no synchronized batch norm on processors.")
    node = cfg.trainer.get("strategy", "auto")
    if isinstance(node, DictConfig):
        strategy = instantiate_node(cfg, "trainer.strategy")
        if not isinstance(strategy, DDPStrategy):
            name = type(strategy).__name__
            raise UserError(f"trainer.strategy={name} is no DDPStrategy; it must be {STRATEGY.expected}.")
        return strategy if world.size > 1 else "auto"
    return ("ddp" if world.size > 1 else "auto") if node == "auto" or world.size == 1 else node


def _make_loggers(cfg: DictConfig, run_dir: Path, checkpoint: Path | None) -> dict[str, Logger]:
    """Build the loggers of a config, by their names."""
    loggers = {}
    for name in [name for name, node in (cfg.logger or {}).items() if node]:
        target = cfg.logger[name]["_target_"]
        extra = trackers.arguments_of(run_dir, name, target)
        if checkpoint is not None and target.endswith("TensorBoardLogger"):
            # a killed run logged steps after its last checkpoint; TensorBoard drops them, as they are logged again
            extra["purge_step"] = load_checkpoint(checkpoint)["global_step"] + 1
        loggers[name] = instantiate_node(cfg, f"logger.{name}", **extra)
    return loggers


def _record_identity(cfg: DictConfig, run_dir: Path, data: DataModule) -> None:
    """Write environment.json and the identity of a new run; of a resumed run, only check the data.

    Raises:
        UserError: the data are not those that the run began with.
    """
    fingerprint = data.fingerprint()
    check_data(run_dir, fingerprint)
    if not (run_dir / "environment.json").exists():  # a resumed run keeps the environment that it began in
        environment = {
            **provenance.environment(fingerprint),
            "options": foreign_code.record(cfg),
            "split": data.split_record(),
        }
        write_json(run_dir / "environment.json", environment)
        run_identity = identity.identity(cfg, identity.code_key(cfg), fingerprint)
        update_summary(run_dir, identity=run_identity, started=environment["started"])
    elif changed := _changed_code(cfg, run_dir):
        print(
            f"warning: the code of {', '.join(changed)} has changed since the run began: what it computes from here on "
            "may be something else, such as another network",
            file=sys.stderr,
        )
        update_summary(run_dir, changed_code=changed)


def _record_ranks(run_dir: Path, size: int) -> None:
    """Keep in the summary on how many ranks a run was trained, one number after the other, and say if that changes."""
    ranks = read_summary(run_dir).get("ranks", [])
    if ranks and ranks[-1] != size:
        console.print_notice(
            f"Going on with {plural(size, 'rank')} instead of {ranks[-1]}: the images and steps stay the same, but the "
            "weights are no longer bitwise those of the run that goes on as it began."
        )
    if ranks[-1:] != [size]:
        update_summary(run_dir, ranks=[*ranks, size])


def _changed_code(cfg: DictConfig, run_dir: Path) -> list[str]:
    """Return the foreign code of a config that is another than when the run began."""
    options = read_environment(run_dir).get("options")
    before = options.get("foreign_code") if isinstance(options, dict) else None
    if not isinstance(before, dict):  # a run of version 0.1
        return []
    now = foreign_code.code_of(cfg)
    return sorted(name for name, version in before.items() if now.get(name) != version)


def _has_stopped_early(checkpoint: dict[str, Any]) -> bool:
    state = checkpoint["callbacks"].get(BestAndLast.state_key)
    return isinstance(state, dict) and bool(state.get("stopped"))


def _fit(trainer: pl.Trainer, classifier: Classifier, data: DataModule, checkpoint: Path | None) -> None:
    if trainer.global_rank > 0:  # all ranks have built the same weights from one seed; their dropout must differ
        torch.manual_seed(torch.initial_seed() + trainer.global_rank)
    try:
        trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except Exception as error:
        if checkpoint is not None and (complaint := error_of_restoring(error, checkpoint)):
            raise complaint from error
        raise


def _test(
    cfg: DictConfig, run_dir: Path, device: torch.device, classifier: Classifier, data: DataModule
) -> dict[str, Any]:
    """Evaluate the best checkpoint on the validation split, and once on the official test set.

    The best checkpoint is chosen by validation alone. Without a checkpoint callback, the last weights are evaluated.
    """
    metrics: dict[str, float] = {}
    best_epoch = None
    if any(node and node["_target_"].endswith(".BestAndLast") for node in (cfg.callbacks or {}).values()):
        path = run_dir / "checkpoints" / "best.ckpt"
        checkpoint = load_checkpoint(path)
        load_weights(classifier, checkpoint["state_dict"], path)
        best = best_epoch_of(checkpoint, path)
        best_epoch = best["best_epoch"]
        metrics.update({k: v for k, v in best["best_metrics"].items() if k.startswith(("train/", "val/"))})
    classifier.to(device)
    class_accuracy, num_images = {}, {}
    for split in ("val", "test"):
        evaluation = evaluate(classifier.evaluated_network, data.eval_loader(split, device), cfg.trainer.precision)
        if split == "test":
            test_log.record(run_dir, "train", data.fingerprint())
        evaluation.save(run_dir / "predictions" / f"{split}.npz")
        measured = measure(evaluation, classifier.loss, classifier.metrics)
        metrics |= {f"{split}/{name}": value for name, value in measured.items()}
        if cfg.tta is not None:
            augmented = evaluate(
                classifier.evaluated_network, data.eval_loader(split, device), cfg.trainer.precision, cfg.tta
            )
            measured = measure(augmented, classifier.loss)
            metrics |= {f"{split}/{name}_tta": value for name, value in measured.items()}
        class_accuracy[split] = dict(zip(data.classes, evaluation.class_accuracy(), strict=True))
        if not evaluation.is_multilabel:
            num_images[split] = len(evaluation.labels)
    return {
        "metrics": metrics,
        "num_images": num_images,
        "best_epoch": best_epoch,
        "class_accuracy": class_accuracy,
    }


def _record_failure(cfg: DictConfig, run_dir: Path, error: BaseException, seconds: float) -> None:
    if isinstance(error, Interrupted | KeyboardInterrupt):
        status = "interrupted"
    elif isinstance(error, Pruned):
        status = "pruned"
    else:
        status = "failed"
    message = None if status == "pruned" else first_line(error)
    update_summary(run_dir, status=status, error=message, seconds=seconds)
    _record_hparams(cfg, run_dir, {})


def _record_hparams(cfg: DictConfig, run_dir: Path, metrics: dict[str, float]) -> None:
    """Write the run's results into TensorBoard's HParams tab, if its callback is configured and training has begun."""
    if (cfg.callbacks or {}).get("hparams") and any(run_dir.glob("events.out.tfevents.*")):
        write_outcome(run_dir, metrics)
