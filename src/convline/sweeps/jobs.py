"""Compose and check the config of every job of a grid, and hash each, before the first job is trained."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.config import expand_sweep, load_configs
from convline.config.overrides import parse_overrides
from convline.config.schema import is_of_sweeps
from convline.errors import UserError
from convline.records.identity import code_key, identity

# the overrides, swept, cfg and choices of a `Job`
Composed = tuple[list[str], list[str], DictConfig, dict[str, str]]


@dataclass(frozen=True)
class Job:
    """Describe one job of a sweep: its config, and hashes that identify its result.

    Args:
        overrides: overrides with one value for each swept setting.
        swept: the overrides of the swept settings alone.
        cfg: config of the job.
        choices: the option taken from each config group.
        data: fingerprint of the data.
        identity: hash of everything that decides what the job computes.
        recipe: the same hash without the version of the code.
    """

    overrides: list[str]
    swept: list[str]
    cfg: DictConfig
    choices: dict[str, str]
    data: str
    identity: str
    recipe: str

    @property
    def name(self) -> str:
        """Return a short directory name: the last part of each swept key with its value, such as `lr=0.1,seed=0`."""
        settings = (override.partition("=") for override in self.swept)
        text = ",".join(f"{key.split('.')[-1]}={value}" for key, _, value in settings)
        text = "".join(c if c.isalnum() or c in "=.,_-+" else "-" for c in text) or "default"
        if len(text) > 120:
            text = f"{text[:100]}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
        return text

    def summary_fields(self) -> dict[str, Any]:
        """Return the fields that summary.json holds before the job begins."""
        hashes = {"identity": self.identity, "recipe": self.recipe}
        return {"choices": self.choices, "overrides": self.overrides, "swept": self.swept, **hashes}


def with_params(overrides: Sequence[str], params: Mapping[str, str]) -> list[str]:
    """Append the sweep of an experiment to the overrides, except for settings that the overrides already have.

    Args:
        overrides: overrides of the command line.
        params: the experiment's `hydra.sweeper.params`: by setting, its values as on a command line.
    Raises:
        UserError: `params` is no mapping.
    """
    if not isinstance(params, Mapping):
        raise UserError(f"hydra.sweeper.params={params} is no mapping: 'hydra.sweeper.params={{seed: \"0,1\"}}'")
    keys = {override.key_or_group for override in parse_overrides(overrides)}
    return [*overrides, *(f"{key}={values}" for key, values in params.items() if key not in keys)]


def compose(overrides: Sequence[str]) -> list[Composed]:
    """Compose the config of every combination of the values in `-m OVERRIDES`.

    Returns:
        For each combination: all overrides, the swept overrides, the config, and the option taken from each group.
    Raises:
        UserError: a combination is no valid config.
    """
    combinations = expand_sweep([override for override in overrides if not is_of_sweeps(override)])
    keys = {override.get_key_element() for override in parse_overrides(overrides) if override.is_sweep_override()}
    swept = [
        [override for override in combination if override.partition("=")[0] in keys] for combination in combinations
    ]
    return list(zip(combinations, swept, *zip(*load_configs(combinations), strict=True), strict=True))


def plan(combinations: Sequence[Composed]) -> list[Job]:
    """Return the jobs of the combinations; combinations with equal identity share one job.

    Raises:
        UserError: data are missing or damaged.
    """
    fingerprints: dict[str, str] = {}
    jobs: dict[str, Job] = {}
    for combination in combinations:
        job = build_job(*combination, fingerprints)
        jobs.setdefault(job.identity, job)
    return list(jobs.values())


def build_job(
    overrides: list[str], swept: list[str], cfg: DictConfig, choices: dict[str, str], fingerprints: dict[str, str]
) -> Job:
    """Build a job: hash its config with the code and the data, which are read if their fingerprint is unknown.

    Args:
        overrides, swept, cfg, choices: see `Job`.
        fingerprints: known fingerprints, by the settings of the data; a new one is added.
    Raises:
        UserError: the data are missing or damaged.
    """
    key = json.dumps(OmegaConf.to_container(cfg.data, resolve=True))
    if key not in fingerprints:
        from convline.training.setup import load_data  # takes seconds: only when every config is valid

        fingerprints[key] = load_data(cfg).fingerprint()
    data = fingerprints[key]
    return Job(
        overrides,
        swept,
        cfg,
        choices,
        data,
        identity=identity(cfg, code_key(cfg), data),
        recipe=identity(cfg, "", data),
    )
