"""Evaluate the best checkpoint of a run on its test set again, for `convline evaluate RUN_DIR`."""

from collections.abc import Sequence
from pathlib import Path

import torch

from convline.config.overrides import moved_data_root
from convline.records import test_log
from convline.reporting.metric_text import interval_over_images
from convline.run import console
from convline.training.evaluation import Evaluation, evaluate, measure
from convline.training.loaded_run import LoadedRun
from convline.training.setup import build_loss, build_metrics_of


def reevaluate(run_dir: Path, tta: str | None = None, settings: Sequence[str] = ()) -> Evaluation:
    """Evaluate the best checkpoint of a run on its test set, and print the metrics.

    Args:
        run_dir: the run directory.
        tta: also print the metrics with test-time augmentation; see `convline.training.evaluation.average_over_views`.
        settings: `data.root=FOLDER`, if the data were moved.
    Returns:
        The evaluation without test-time augmentation.
    Raises:
        UserError: `run_dir` is no run directory, or its checkpoint or data are missing or damaged.
    """
    run = LoadedRun(run_dir, data_root=moved_data_root(settings))
    cfg, network = run.cfg, run.network
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    if cfg.compile:
        network.compile()
    evaluation = evaluate(network, run.data.eval_loader("test", run.device), cfg.trainer.precision)
    test_log.record(run_dir, "evaluate", run.data.fingerprint())  # before the metrics are shown
    loss = build_loss(cfg)
    for name, value in measure(evaluation, loss, build_metrics_of(cfg, run.data)).items():
        console.print_notice(f"test/{name} {value:.6f}")
    if not evaluation.is_multilabel:
        limits = interval_over_images(evaluation.accuracy, len(evaluation.labels))
        console.print_notice(f"test/acc on other images of the kind: {limits} (95 % interval)")
    if tta is not None:
        augmented = evaluate(network, run.data.eval_loader("test", run.device), cfg.trainer.precision, tta)
        for name, value in measure(augmented, loss).items():
            console.print_notice(f"test/{name}_tta {value:.6f}")
    for name, accuracy in zip(run.data.classes, evaluation.class_accuracy(), strict=True):
        console.print_notice(f"test/acc of {name}: {'no images' if accuracy is None else f'{accuracy:.4f}'}")
    return evaluation
