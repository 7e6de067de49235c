"""Compose and check every job of a grid, and name each by what it computes, before one is trained."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.config import expand_sweep, load_configs
from convline.config.overrides import parse_overrides
from convline.config.schema import is_of_sweeps
from convline.records.provenance import code_key, identity

Composed = tuple[list[str], list[str], DictConfig, dict[str, str]]


@dataclass(frozen=True)
class Job:
    """One combination of a sweep.

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
        text = ",".join(word.partition("=")[0].split(".")[-1] + "=" + word.partition("=")[2] for word in self.swept)
        text = "".join(c if c.isalnum() or c in "=.,_-+" else "-" for c in text) or "default"
        if len(text) > 120:
            text = f"{text[:100]}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
        return text

    def summary_fields(self) -> dict[str, Any]:
        """Return what the job's summary.json holds before the job begins."""
        hashes = {"identity": self.identity, "recipe": self.recipe}
        return {"choices": self.choices, "overrides": self.overrides, "swept": self.swept, **hashes}


def with_params(words: Sequence[str], params: Mapping[str, str]) -> list[str]:
    """Add an experiment's lists of values to the overrides, for settings that the overrides do not name.

    Args:
        words: overrides as typed.
        params: lists of values as they would be typed, by setting.
    """
    named = {override.key_or_group for override in parse_overrides(words)}
    return [*words, *(f"{key}={values}" for key, values in params.items() if key not in named)]


def compose(words: Sequence[str]) -> list[Composed]:
    """Compose every combination that `-m WORDS` describes.

    Returns:
        For each combination: all overrides, the swept overrides, the config, and the option taken from each group.
    Raises:
        UserError: a combination is no valid config.
    """
    combinations = expand_sweep([word for word in words if not is_of_sweeps(word)])
    keys = {o.get_key_element() for o in parse_overrides(words) if o.is_sweep_override()}
    swept = [[word for word in combination if word.partition("=")[0] in keys] for combination in combinations]
    return list(zip(combinations, swept, *zip(*load_configs(combinations), strict=True), strict=True))


def plan(combinations: Sequence[Composed]) -> list[Job]:
    """Return the jobs of the combinations, with one job for combinations that compute the same.

    Raises:
        UserError: data are missing or damaged.
    """
    fingerprints: dict[str, str] = {}
    jobs: dict[str, Job] = {}
    for combination in combinations:
        job = describe(*combination, fingerprints)
        jobs.setdefault(job.identity, job)
    return list(jobs.values())


def describe(
    overrides: list[str], swept: list[str], cfg: DictConfig, choices: dict[str, str], fingerprints: dict[str, str]
) -> Job:
    """Return a job with its hashes.

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
        identity=identity(cfg, code_key(), data),
        recipe=identity(cfg, "", data),
    )
