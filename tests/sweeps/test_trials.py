"""Trials whose process died at any point between asking for values and making the run directory."""

from pathlib import Path

from omegaconf import OmegaConf

from convline.sweeps.search_space import parse_space
from convline.sweeps.study import open_study
from convline.sweeps.trials import Trials

SETTINGS = OmegaConf.create(
    {
        "trials": 4,
        "seed": 0,
        "objectives": ["val/acc"],
        "pruner": None,
        "storage": None,
        "sampler": {"_target_": "optuna.samplers.RandomSampler", "_partial_": True},
    }
)


def new_trials(folder: Path) -> Trials:
    fixed, dimensions = parse_space(["optimizer.lr=interval(0.001,0.3)", "data.batch_size=8,16,32"], {})
    study, storage = open_study("sqlite://", "study", SETTINGS, dimensions)  # in memory
    return Trials(folder, study, storage, SETTINGS, fixed, dimensions, {})


def test_a_trial_that_was_half_asked_for_gets_the_values_that_it_would_have_had(tmp_path: Path) -> None:
    undisturbed, killed = new_trials(tmp_path), new_trials(tmp_path)
    first, second = undisturbed.dimensions
    distributions = {first.key: first.distribution, second.key: second.distribution}
    expected = [undisturbed.study.ask(distributions).params for _ in range(2)]

    killed.study.ask({first.key: first.distribution})  # and no further: its process was killed
    (trial,) = killed.study.get_trials()
    assert trial.params.keys() == {first.key}
    assert killed._all_params(trial) == expected[0]
    assert [trial.params for trial in killed.study.get_trials()] == expected[:1]
    assert killed.study.ask(distributions).params == expected[1]
