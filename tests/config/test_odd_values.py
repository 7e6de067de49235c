"""Values that no run could use, removed and added keys, and odd words: a message, before anything is made."""

import shlex

import pytest
from omegaconf import DictConfig, OmegaConf

from convline.config import load, load_config
from convline.config.compose import compose_config
from convline.config.explain import check_overrides
from convline.config.overrides import expand_sweep, parse_overrides
from convline.errors import UserError
from convline.sweeps.study import check_settings

REFUSED = [
    # arguments of shipped targets that have no schema
    "data=synthetic data.source.num_train=null",
    "data=synthetic data.source.num_train=-1",
    "data=synthetic data.source.num_train=1.5",
    "data=synthetic data.source.shape=5",
    "data=synthetic data.source.noise=nan",
    "data=synthetic data.source.seed=-1",
    "data=synthetic ~data.source.noise",
    "data.source._partial_=1.5",
    "+data.source._nope_=1",
    "loss=focal loss.gamma=-1",
    "logger.tensorboard.name=[1,2]",
    "trainer.profiler=5",
    "trainer.profiler={a:1}",
    "trainer=profile trainer.profiler.row_limit=abc",
    # keys that are added
    "+data.source.nope=1",
    "+optimizer.nope=1",
    "+classifier.nope=1",
    "+loss.nope=1",
    "+logger.tensorboard.nope=1",
    "+callbacks.x=1",
    "callbacks.pictures=5",
    "callbacks=plain +callbacks.early_stopping.patience=3",
    "+trainer.gradient_clip_val=1",
    "+trainer.max_time={hours:1e300}",
    "+trainer.max_steps=true",
    # keys that are taken out
    "~seed",
    "~channels_last",
    "~classifier",
    "~trainer.devices",
    "~model._target_",
    # numbers and texts that mean nothing
    "callbacks=early_stopping callbacks.early_stopping.min_delta=nan",
    "optimizer=adam optimizer.eps=1e30",
    "scheduler=step scheduler.gamma=1000000000000",
    "trainer.limit_test_batches=1000000000000",
    "trainer.rendezvous_minutes=1e30",
    "threads=100000",
    "compile=-1",
    "data.num_workers=1000000",
    "callbacks.histograms.times=1000000000000",
    """name="''" """,
    """name="'a\0b'" """,
    """name="'a\nb'" """,
    f"name={'x' * 300}",
    "model=pattern model.filters=nan",
    "'name=${.}'",
    "model._target_=5",
    "data.source._target_=os.getcwd",
    "trainer._target_=os.getcwd",
    "classifier._target_=os.getcwd",
    "+callbacks.x._target_=nope",
    "metrics=[[]]",
    "optimizer.groups=abc",
    "'optimizer.groups={fc1: 5}'",
    "optimizer=schedule_free optimizer.no_decay=null",
    "logger=wandb logger.wandb.project=5",
    "data=datamodule data.module._target_=os.getcwd data.module=nan",
    "trainer.devices=1000000000000",
    f"seed={'9' * 5000}",
]


@pytest.mark.parametrize("words", REFUSED, ids=lambda words: words[:70].encode("unicode_escape").decode())
def test_what_no_run_could_use_is_refused(words: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(shlex.split(words))
    assert len(str(caught.value).splitlines()) <= 12
    assert len(max(str(caught.value).splitlines(), key=len)) < 1000


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["data=synthetic", "data.source.noise=1", "data.source.shape=[1,8,8]"], "data.source.noise", 1),
        (["data=synthetic", "data.source.num_train=500"], "data.source.num_train", 500),
        (["loss=focal", "loss.gamma=1"], "loss.gamma", 1),
        (["trainer.profiler=simple"], "trainer.profiler", "simple"),
        (["trainer=profile", "trainer.profiler.row_limit=5"], "trainer.profiler.row_limit", 5),
        (["trainer=profile", "+trainer.profiler.profile_memory=true"], "trainer.profiler.profile_memory", True),
        (["+logger.tensorboard.log_graph=true"], "logger.tensorboard.log_graph", True),
        (["+logger.tensorboard.flush_secs=5"], "logger.tensorboard.flush_secs", 5),
        (["+optimizer.maximize=false"], "optimizer.maximize", False),
        (["+optimizer.maximize=true", "optimizer.groups={fc1:{lr:0.1}}"], "optimizer.groups.fc1.lr", 0.1),
        (["+trainer.max_time={hours:2}"], "trainer.max_time.hours", 2),
        (["~callbacks.pictures", "~logger.csv"], "callbacks.pictures", None),
        (["~callbacks"], "callbacks", None),
        (["optimizer=adam", "optimizer.eps=0.1", "threads=1", "name='größer'"], "name", "größer"),
    ],
)
def test_what_means_something_is_accepted(words: list[str], key: str, value: object) -> None:
    assert OmegaConf.select(load_config(words), key) == value


@pytest.mark.parametrize(
    "word",
    [
        "=5",
        "model=5",
        "model=[lenet]",
        "seed=range(0,1000000000000)",
        "seed=range(0,5,0)",
        f"seed={'9' * 5000}",
        "a=[" * 50,
    ],
    ids=lambda word: word[:30],
)
def test_odd_words_are_refused(word: str) -> None:
    with pytest.raises(UserError) as caught:
        check_overrides([word])
    assert len(str(caught.value)) < 1000


def test_a_sweep_of_too_many_jobs_is_refused() -> None:
    with pytest.raises(UserError, match=r"these are 1,000,000 combinations, but a sweep has at most 100,000 jobs"):
        expand_sweep(["seed=range(0,1000)", "data.split_seed=range(0,1000)"])
    with pytest.raises(UserError, match="does not end, or has too many values"):
        parse_overrides(["seed=range(0,1000000)"])


def test_a_word_without_effect_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    load._print_once.cache_clear()
    assert load_config(["seed=1", "seed=2"]).seed == 2
    assert "seed=1 has no effect: seed=2 comes after it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sweep.sampler.n_startup_trials=abc"], "n_startup_trials=abc: optuna.samplers.TPESampler expects int"),
        (["+sweep.sampler.nope=1"], "has no such argument"),
        (["sweep/pruner=median", "sweep.pruner.n_warmup_steps=[1]"], "expects int"),
    ],
)
def test_samplers_and_pruners_are_checked_before_they_are_made(words: list[str], expected: str) -> None:
    pytest.importorskip("optuna")
    with pytest.raises(UserError, match=expected):
        check_settings(compose_config(tuple(words))[0].sweep)


@pytest.mark.parametrize("options", [(), ("data=cifar10",), ("data=folder", "model=pattern")])
def test_a_reference_to_nothing_is_refused_in_every_setting(options: tuple[str, ...]) -> None:
    composed, choices = compose_config(options)
    for key in _leaves(composed):
        cfg = composed.copy()
        OmegaConf.update(cfg, key, "${nope}")
        with pytest.raises(UserError):  # as main calls it, where no other function turns errors into words
            load.finish_config(cfg, choices, [*options, f"{key}=${{nope}}"])


def _leaves(cfg: DictConfig, prefix: str = "") -> list[str]:
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    keys = []
    for key, value in content.items():
        inner = cfg._get_node(key)
        if isinstance(value, dict) and value:
            keys += _leaves(inner, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            keys.append(f"{prefix}{key}")
    return keys
