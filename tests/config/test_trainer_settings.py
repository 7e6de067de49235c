"""Each argument of Lightning's Trainer: in the schema, working within a range, or refused."""

import inspect
from dataclasses import fields

import lightning.pytorch as pl
import pytest

from convline.config import load_config
from convline.config.schema import Trainer
from convline.config.trainer_settings import REFUSED, WORKING
from convline.errors import UserError


def test_each_argument_is_decided_once() -> None:
    arguments = set(inspect.signature(pl.Trainer).parameters)
    in_schema = {field.name for field in fields(Trainer)} - {"_target_", "rendezvous_minutes"}
    assert arguments == in_schema | WORKING.keys() | REFUSED.keys()
    assert len(arguments) == len(in_schema) + len(WORKING) + len(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("plus", ["", "+"])
def test_what_has_no_effect_is_refused_with_what_to_type(name: str, plus: str) -> None:
    with pytest.raises(UserError, match=rf"^trainer\.{name}=4: .+\n  (Type|Leave it out)"):
        load_config([f"{plus}trainer.{name}=4"])


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("+trainer.gradient_clip_val=0.5", "classifier.gradient_clip_norm=0.5"),
        ("+trainer.accumulate_grad_batches=4", "classifier.accumulate_grad_batches=4"),
    ],
)
def test_the_named_setting_is_one_that_can_be_typed(word: str, typed: str) -> None:
    with pytest.raises(UserError, match=f"Type: {typed}"):
        load_config([word])
    load_config([typed])


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("trainer.max_steps=7", 7),
        ("trainer.min_epochs=2", 2),
        ("trainer.min_steps=2", 2),
        ("trainer.max_time=00:00:01:00", "00:00:01:00"),
        ("trainer.max_time={minutes: 1}", {"minutes": 1}),
        ("trainer.check_val_every_n_epoch=2", 2),
        ("trainer.benchmark=true", True),
        ("trainer.detect_anomaly=true", True),
    ],
)
@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_what_works_needs_no_plus(word: str, value: object, plus: str) -> None:
    assert load_config([plus + word]).trainer[word.partition("=")[0].removeprefix("trainer.")] == value


@pytest.mark.parametrize(
    "word",
    ["max_steps=0", "max_steps=1.5", "min_epochs=0", "max_time=5", "check_val_every_n_epoch=0", "benchmark=perhaps"],
)
def test_a_value_out_of_range_is_refused(word: str) -> None:
    with pytest.raises(UserError, match="out of range: it must be"):
        load_config([f"trainer.{word}"])


def test_what_lightning_does_not_have_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no such argument \(did you mean 'max_time'\?\)"):
        load_config(["+trainer.max_tiem=00:00:01:00"])


def test_more_epochs_at_least_than_at_most_are_refused() -> None:
    with pytest.raises(UserError, match=r"trainer.min_epochs=5 is more .*\n  Type: trainer.max_epochs=5"):
        load_config(["trainer.min_epochs=5", "trainer.max_epochs=2"])
