"""BestAndLast: when it saves."""

from types import SimpleNamespace
from typing import Any

import pytest

from convline.callbacks.checkpoint import BestAndLast


def test_a_resumed_run_counts_every_n_steps_from_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    callback = BestAndLast("val/acc", every_n_steps=10)
    monkeypatch.setattr(callback, "_save_last", lambda trainer: saved.append(trainer.global_step))
    trainer: Any = SimpleNamespace(global_step=25, is_last_batch=False)
    callback.on_train_start(trainer, None)
    for trainer.global_step in (26, 34, 35):
        callback.on_train_batch_end(trainer, None, None, None, 0)
    assert saved == [35]
