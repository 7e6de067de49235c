"""The jobs of a grid: each combination composed, checked and named by what it computes, before one is trained."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.config import compose as config
from convline.config.schema import is_of_sweeps
from convline.records.provenance import code_key, identity

Composed = tuple[list[str], list[str], DictConfig, dict[str, str]]


@dataclass(frozen=True)
class Job:
    """One combination of a sweep.

    Args:
        overrides: its words, with one value for each swept setting.
        swept: those of the swept settings.
        cfg: its config.
        choices: which option was taken of each config group.
        data: fingerprint of its data.
        identity: hash of all that decides what it computes.
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
        """Of its directory, readable and short: the last part of each swept key with its value: `lr=0.1,seed=0`."""
        text = ",".join(word.partition("=")[0].split(".")[-1] + "=" + word.partition("=")[2] for word in self.swept)
        text = "".join(c if c.isalnum() or c in "=.,_-+" else "-" for c in text) or "default"
        if len(text) > 120:
            text = f"{text[:100]}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
        return text

    def told(self) -> dict[str, Any]:
        """What its summary says of it before it begins."""
        hashes = {"identity": self.identity, "recipe": self.recipe}
        return {"choices": self.choices, "overrides": self.overrides, "swept": self.swept, **hashes}


def with_params(words: Sequence[str], params: Mapping[str, str]) -> list[str]:
    """The words of a sweep, and an experiment's lists for those settings that the words do not name.

    Args:
        words: as typed.
        params: lists of values as they would be typed, by setting.
    """
    named = {override.key_or_group for override in config.parse_overrides(words)}
    return [*words, *(f"{key}={values}" for key, values in params.items() if key not in named)]


def compose(words: Sequence[str]) -> list[Composed]:
    """The combinations that `-m WORDS` stands for, in order: all words, swept ones, config, options taken.

    Raises:
        UserError: one is no config.
    """
    combinations = config.expand_sweep([word for word in words if not is_of_sweeps(word)])
    keys = {o.get_key_element() for o in config.parse_overrides(words) if o.is_sweep_override()}
    swept = [[word for word in combination if word.partition("=")[0] in keys] for combination in combinations]
    return list(zip(combinations, swept, *zip(*config.compose_all(combinations), strict=True), strict=True))


def plan(combinations: Sequence[Composed]) -> list[Job]:
    """Their jobs; one for those that compute the same.

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
    """A job with its identities.

    Args:
        overrides, swept, cfg, choices: see `Job`.
        fingerprints: those known already, by the settings of the data; a new one is added.
    Raises:
        UserError: the data are missing or damaged.
    """
    key = json.dumps(OmegaConf.to_container(cfg.data, resolve=True))
    if key not in fingerprints:
        from convline.training.setup import data_of  # takes seconds: only when every config is right

        fingerprints[key] = data_of(cfg).fingerprint()
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
