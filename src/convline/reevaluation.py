"""`convline evaluate RUN_DIR`: the stored checkpoint's figures, computed again."""

from pathlib import Path

import torch

from convline import ledger, report_run, runs
from convline.evaluation import Evaluation, evaluate
from convline.training import build


def reevaluate(run_dir: Path, tta: str | None = None) -> Evaluation:
    """Evaluate the best checkpoint of a run on the test set of its data, and print the figures.

    Args:
        run_dir: the run's.
        tta: test-time augmentation, whose figures are printed beside the plain ones; see `convline.tta.averaged`.
    Returns:
        The plain evaluation.
    Raises:
        UserError: `run_dir` is no run directory, or its checkpoint or data are missing or damaged.
    """
    cfg = runs.read_config(run_dir)
    checkpoint = runs.load_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    data, classifier = build(cfg)
    runs.check_data(run_dir, data.fingerprint())
    classifier.load_state_dict(checkpoint["state_dict"])
    gpu = cfg.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    classifier.to(device)
    evaluation = evaluate(classifier.evaluated, data.eval_loader("test", device), cfg.trainer.precision)
    ledger.record(run_dir, "evaluate", data.fingerprint())  # before anybody sees the figures
    report_run.notice(f"test/acc {evaluation.accuracy:.6f}\ntest/loss {evaluation.loss:.6f}")
    if tta is not None:
        augmented = evaluate(classifier.evaluated, data.eval_loader("test", device), cfg.trainer.precision, tta)
        report_run.notice(f"test/acc_tta {augmented.accuracy:.6f}\ntest/loss_tta {augmented.loss:.6f}")
    for name, accuracy in zip(data.classes, evaluation.class_accuracy(), strict=True):
        report_run.notice(f"test/acc of {name}: {accuracy:.4f}")
    return evaluation
