"""Turn lists of overrides into validated configs, without Hydra's command line."""

import copy
import functools
import os
import re
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convline.config import validate
from convline.config.compose import compose_config
from convline.config.explain import explain
from convline.config.options import groups
from convline.config.overrides import (
    MAX_JOBS,
    expand_sweep,
    parse_overrides,
    quote_texts,
    quote_units,
    without_effect,
)
from convline.config.targets import fit_targets, open_targets
from convline.config.trainer_settings import open_trainer_settings
from convline.errors import UserError
from convline.formatting import shortened


def load_config(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose and validate the config with which `python train.py OVERRIDES` would run.

    Raises:
        UserError: an override names what is not there, or a value is out of range.
    """
    return load_configs([prepare(overrides)])[0][0]


def prepare(overrides: Sequence[str]) -> list[str]:
    """Rewrite what users may type and Hydra does not accept: augmentations and texts without quotes, arguments of new
    targets and of Lightning's Trainer."""
    return open_trainer_settings(open_targets(quote_texts(quote_units(overrides))))


def load_configs(combinations: Sequence[Sequence[str]]) -> list[tuple[DictConfig, dict[str, str]]]:
    """Compose and validate the config of each list of overrides, and return it with the option chosen in each group.

    Hydra needs a tenth of a second to compose a config. Lists that differ only in values of settings therefore share
    one composed config; their values are set in a copy of it, with the same result.

    Raises:
        UserError: an override names what is not there, or a value is out of range; if there are several lists, the
            message names the one.
    """
    found = []
    for overrides in combinations:
        try:
            values, others = _values_and_others(overrides)
            cfg, chosen = copy.deepcopy(compose_config(others))
            try:
                for override in values:
                    OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True)
            except OmegaConfBaseException:
                compose_config(tuple(overrides))  # raises the same error in Hydra's words
                raise
            cfg, chosen = finish_config(cfg, chosen, overrides)
        except UserError as error:
            raise (error if len(combinations) == 1 else _in_combination(overrides, str(error))) from error
        except Exception as error:
            text = explain(error, overrides)
            raise (UserError(text) if len(combinations) == 1 else _in_combination(overrides, text)) from error
        found.append((cfg, chosen))
    return found


def finish_config(
    cfg: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]
) -> tuple[DictConfig, dict[str, str]]:
    """Fit the arguments of typed targets, and validate; print once which words have no effect.

    Raises:
        UserError: an argument of a target is wrong, or a value is out of range.
    """
    try:
        expand_home(cfg)
        cfg, named, notices = fit_targets(cfg, choices, overrides)
        validate.check(cfg)
        validate.check_truths(cfg, overrides)
    except (OmegaConfBaseException, RecursionError) as error:  # a value that is missing, or a reference to nothing
        raise UserError(explain(error, overrides)) from error
    for notice in (*without_effect(overrides), *notices):
        _print_once(notice)
    return cfg, named


def expand_home(cfg: DictConfig) -> None:
    """Replace `~` at the beginning of a folder's path, which no shell expands behind `key=`, by the home folder."""
    for key in ("data.root", "runs_dir"):
        value = OmegaConf.select(cfg, key, throw_on_missing=False)
        if isinstance(value, str) and value.startswith("~"):
            OmegaConf.update(cfg, key, os.path.expanduser(value))


@functools.cache
def _print_once(text: str) -> None:
    print(text, flush=True)


def _in_combination(overrides: Sequence[str], text: str) -> UserError:
    return UserError(f"in the combination {' '.join(overrides)}:\n  {text}")


def _values_and_others(overrides: Sequence[str]) -> tuple[list[Override], tuple[str, ...]]:
    """Separate the overrides that only set a value, which need no composition, from all other overrides."""
    parsed = parse_overrides(overrides)
    keys = [override.key_or_group for override in parsed]
    known_groups = groups()

    def sets_a_value(override: Override) -> bool:
        key = override.key_or_group
        plain = override.type is OverrideType.CHANGE and override.package is None
        related = [k for k in keys if k == key or k.startswith(f"{key}.") or key.startswith(f"{k}.")]
        return plain and len(related) == 1 and key.partition("/")[0] not in known_groups and not key.startswith("hydra")

    values = [override for override in parsed if sets_a_value(override)]
    return values, tuple(word for word, override in zip(overrides, parsed, strict=True) if override not in values)


def spread_seeds(overrides: Sequence[str]) -> list[str]:
    """Replace `seeds=N` by a sweep over N seeds from `seed` upwards; without it, return the overrides unchanged.

    Raises:
        UserError: N is no whole number above 0, or another word sweeps the seeds already.
    """
    short = [word for word in overrides if word.startswith("seeds=")]
    if not short:
        return list(overrides)
    others = [word for word in overrides if word not in short]
    text = short[-1].removeprefix("seeds=")
    if not (re.fullmatch(r"0*[0-9]{1,6}", text) and 0 < int(text) <= MAX_JOBS):
        raise UserError(
            f"{shortened(short[-1])}: how many seeds must be a whole number from 1 to {MAX_JOBS:,}, such as seeds=5"
        )
    settings = [word for word in others if not word.startswith("-")]
    chosen = [override for override in parse_overrides(settings) if override.key_or_group == "seed"]
    if chosen and chosen[-1].is_sweep_override():
        raise UserError(f"{short[-1]} and {chosen[-1].input_line} both say which seeds; leave one of them out.")
    listed = [word for word in settings if not parse_overrides([word])[0].is_interval_sweep()]
    first = load_config(expand_sweep(listed)[0]).seed  # the sweeper checks intervals
    kept = [word for word in others if not chosen or word != chosen[-1].input_line]
    multirun = [] if {"-m", "--multirun"} & set(others) else ["-m"]
    return [*multirun, *kept, f"seed=range({first},{first + int(text)})"]
