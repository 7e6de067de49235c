"""BestAndLast: when it saves."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convline.callbacks.checkpoint import BestAndLast, CheckpointFile


def test_a_resumed_run_counts_every_n_steps_from_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    callback = BestAndLast("val/acc", every_n_steps=10)
    monkeypatch.setattr(callback, "_save_last", lambda trainer: saved.append(trainer.global_step))
    trainer: Any = SimpleNamespace(global_step=25, is_last_batch=False)
    callback.on_train_start(trainer, None)
    for trainer.global_step in (26, 34, 35):
        callback.on_train_batch_end(trainer, None, None, None, 0)
    assert saved == [35]


def test_a_checkpoint_is_written_to_the_file_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkstemp", lambda *arguments, **options: pytest.fail("a file in the system's folder"))
    CheckpointFile().save_checkpoint({"state_dict": {}}, tmp_path / "last.ckpt")
    assert CheckpointFile().load_checkpoint(tmp_path / "last.ckpt") == {"state_dict": {}}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_named_by_the_error_of_the_system() -> None:
    with pytest.raises(OSError, match="No space left") as error:
        CheckpointFile().save_checkpoint({"state_dict": {}}, "/dev/full")
    assert error.value.errno == errno.ENOSPC


def test_of_equal_epochs_the_first_is_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = BestAndLast("val/acc")
    monkeypatch.setattr(callback, "_save_last", lambda trainer, is_best: None)
    trainer: Any = SimpleNamespace(min_epochs=None, min_steps=None, should_stop=False, check_val_every_n_epoch=1)
    for trainer.current_epoch, acc in enumerate((0.8, 0.9, 0.9)):
        trainer.global_step = trainer.current_epoch
        trainer.callback_metrics = {"val/acc": torch.tensor(acc)}
        callback.on_train_epoch_end(trainer, None)
    assert callback.best_epoch == 2
