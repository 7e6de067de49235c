"""The classifier and the data module in a Trainer of one's own."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from convline.config.metrics import declare
from convline.errors import UserError
from convline.training import Classifier
from convline.training.metrics import build_metrics
from convline.training.schedules import linear
from support.commands import ROOT, convline, run_dirs, train
from support.fitting import NUM_CLASSES, batches_by_hand, fit, images_and_labels, make_data, make_network, sgd


def trainer_of(folder: Path, **settings: Any) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(accelerator="cpu", default_root_dir=folder, **{**quiet, **settings})


class Batches(torch.utils.data.IterableDataset):
    """The batches that our loader gives, from any other loader."""

    def __init__(self) -> None:
        self.data, self.epoch = make_data(9, num_train=60), 0

    def __iter__(self) -> Any:
        self.epoch += 1
        return batches_by_hand(self.data, self.epoch - 1)

    def __len__(self) -> int:
        return 6


def test_an_ordinary_loader_with_the_same_batches_gives_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    """Batch by batch, in a plain Trainer, against executions of four steps of our own loader."""
    data = make_data(9, num_train=60, steps_per_execution=4)
    ours = fit(tmp_path, data, make_network(batch_norm=True), epochs=2, scheduler=linear)
    plain = Classifier(make_network(batch_norm=True), sgd, linear)
    loader = DataLoader(Batches(), batch_size=None)
    trainer = trainer_of(tmp_path, max_epochs=2, enable_checkpointing=False, num_sanity_val_steps=0)
    trainer.fit(plain, loader)
    for (name, a), b in zip(ours.network.state_dict().items(), plain.network.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6, msg=name)  # the loaders normalize in another order


def loader_of(split: str) -> DataLoader:
    data = make_data()
    data.read()
    images, labels = images_and_labels(data, data.val_indices if split == "val" else data.train_indices)
    return DataLoader(TensorDataset(images, labels), batch_size=7)


def test_validate_test_and_predict_agree_with_each_other_and_by_hand(tmp_path: Path) -> None:
    declare(["f1"])
    classifier = Classifier(make_network(), sgd, linear, metrics=build_metrics(["f1"], NUM_CLASSES))
    trainer, loader = trainer_of(tmp_path, max_epochs=1), loader_of("val")
    (validated,), (tested,) = trainer.validate(classifier, loader), trainer.test(classifier, loader)
    assert {key.removeprefix("val/") for key in validated} == {"loss", "acc", "f1"}
    assert {f"test/{key.removeprefix('val/')}": value for key, value in validated.items()} == tested
    predicted = trainer.predict(classifier, loader)
    assert predicted is not None
    probabilities = torch.cat(predicted)  # type: ignore[arg-type]
    images, labels = loader.dataset.tensors  # type: ignore[attr-defined]
    torch.testing.assert_close(probabilities, classifier.network.eval()(images).softmax(1).detach())
    assert tested["test/acc"] == pytest.approx((probabilities.argmax(1) == labels).double().mean().item())
    only_images = trainer.predict(classifier, DataLoader(images, batch_size=10))
    torch.testing.assert_close(torch.cat(only_images), probabilities)  # type: ignore[arg-type]


def test_our_data_module_is_tested_in_a_plain_trainer_too(tmp_path: Path) -> None:
    data = make_data(steps_per_execution=4)
    classifier = Classifier(make_network(), sgd, linear)
    trainer = trainer_of(tmp_path, max_epochs=2)
    trainer.fit(classifier, datamodule=data)
    (validated,) = trainer.validate(classifier, datamodule=data)
    assert 0 <= validated["val/acc"] <= 1


def test_checkpoints_and_early_stopping_of_lightning_watch_our_metrics(tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path, monitor="val/acc", mode="max", save_top_k=2, filename="{epoch}")
    stopping = EarlyStopping("val/loss", patience=1, min_delta=100.0)
    classifier = Classifier(make_network(), sgd, linear)
    trainer = trainer_of(tmp_path, max_epochs=9, callbacks=[best, stopping])
    trainer.fit(classifier, loader_of("train"), loader_of("val"))
    assert trainer.current_epoch == 2
    assert len(list(tmp_path.glob("*.ckpt"))) == 2
    other = Classifier(make_network(), sgd, linear)
    trainer_of(tmp_path, max_epochs=9).fit(
        other, loader_of("train"), loader_of("val"), ckpt_path=best.best_model_path, weights_only=True
    )


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true", "bf16-true", "16-true"])
@pytest.mark.parametrize("own_loader", [True, False])
def test_precisions(precision: Any, own_loader: bool, tmp_path: Path) -> None:
    classifier = Classifier(make_network(), sgd, linear, gradient_clip_norm=1.0)
    trainer = trainer_of(tmp_path, max_epochs=1, precision=precision, enable_checkpointing=False)
    if own_loader:
        trainer.fit(classifier, datamodule=make_data(steps_per_execution=4))
    else:
        trainer.fit(classifier, loader_of("train"), loader_of("val"))
    dtype = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}.get(
        precision, torch.float32
    )
    assert {parameter.dtype for parameter in classifier.network.parameters()} == {dtype}
    assert torch.isfinite(trainer.callback_metrics["val/loss"])


def test_a_bare_trainer_fits(tmp_path: Path) -> None:
    classifier = Classifier(make_network(), sgd, linear)
    pl.Trainer(barebones=True, max_epochs=1, accelerator="cpu", default_root_dir=tmp_path).fit(
        classifier, loader_of("train")
    )
    assert classifier.trainer.global_step > 0


def test_a_checkpoint_is_loaded_without_a_trainer(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, max_epochs=1)
    classifier = Classifier(make_network(), sgd, linear)
    trainer.fit(classifier, loader_of("train"), loader_of("val"))
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    loaded = Classifier.load_from_checkpoint(
        tmp_path / "plain.ckpt", network=make_network(), optimizer=sgd, scheduler=linear, weights_only=True
    )
    assert all(torch.equal(*pair) for pair in zip(classifier.parameters(), loaded.parameters(), strict=True))


def test_accumulation_with_an_ordinary_loader_is_refused(tmp_path: Path) -> None:
    classifier = Classifier(make_network(), sgd, linear, accumulate_grad_batches=2)
    with pytest.raises(UserError, match="needs convline's DataModule"):
        trainer_of(tmp_path, max_epochs=1).fit(classifier, loader_of("train"))


def test_the_script_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = re.findall(r"```python\n# plain.py\n(.*?)```", (ROOT / "docs" / "lightning.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(compile(script, "plain.py", "exec"), scope)  # the page's own text
    assert scope["probabilities"].shape == (256, 2)


class TestCommand:
    """The same through `python train.py`."""

    @pytest.mark.parametrize("precision", ["64-true", pytest.param("bf16-true", marks=pytest.mark.slow)])
    def test_a_run_in_another_precision_is_evaluated_in_it(self, precision: str, tmp_path: Path) -> None:
        done = train(
            tmp_path, "trainer=cpu", "trainer.max_epochs=1", "data.per_class=20", f"trainer.precision={precision}"
        )
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        accuracy = re.search(r"test accuracy +([0-9.]+)%", done.out)
        assert accuracy
        again = convline(tmp_path, "evaluate", str(run_dir))
        measured = re.search(r"test/acc ([0-9.]+)", again.out)
        assert measured
        assert float(measured.group(1)) == pytest.approx(float(accuracy.group(1)) / 100, abs=1e-4)

    def test_a_callback_that_looks_at_batches_sees_each_step(self, tmp_path: Path) -> None:
        words = ["callbacks=plain", "trainer=cpu", "trainer.max_epochs=1"]
        watch = "+callbacks.watch={_target_: support.counting.CountBatches}"
        done = train(tmp_path, *words, watch)
        assert done.status == 0, done.err
        assert "callbacks.watch looks at single batches" in done.out
        assert "41 batches" in done.out  # 1,298 images in batches of 32
        rates = "+callbacks.rates._target_=lightning.pytorch.callbacks.LearningRateMonitor"
        assert train(tmp_path, *words, rates).status == 0

    def test_checkpoints_of_lightning_beside_ours(self, tmp_path: Path) -> None:
        target = "lightning.pytorch.callbacks.ModelCheckpoint"
        top = f"+callbacks.top={{_target_: {target}, monitor: val/acc, mode: max, save_top_k: 2}}"
        done = train(tmp_path, "callbacks=plain", "~callbacks.checkpoint", "trainer=cpu", "trainer.max_epochs=3", top)
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        assert len(list(run_dir.rglob("*.ckpt"))) == 2


def test_lightnings_monitor_of_the_learning_rate_logs_our_schedule(tmp_path: Path) -> None:
    monitor = LearningRateMonitor(logging_interval="step")
    classifier = Classifier(make_network(), partial(sgd), linear)
    logger = pl.loggers.CSVLogger(tmp_path)
    trainer = trainer_of(tmp_path, max_epochs=1, callbacks=[monitor], logger=logger, log_every_n_steps=1)
    trainer.fit(classifier, loader_of("train"))
    assert monitor.lrs["lr-SGD"][0] == pytest.approx(0.5)
