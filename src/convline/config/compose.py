"""Composing the config from `conf/`: by Hydra for the command, by `load_config` for everything else."""

import copy
import functools
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from convline.config import schema, validate
from convline.config.quoting import quote_units
from convline.errors import UserError, user_error_in
from convline.formatting import nearest

CONF_DIR = Path(__file__).parents[3] / "conf"
INNER_GROUPS = (
    "data/augment",
    "sweep/sampler",
    "sweep/pruner",
)  # folders within a group's folder that are groups of their own


def load_config(overrides: Sequence[str] = ()) -> DictConfig:
    """The config that `python train.py OVERRIDES` would run with.

    Raises:
        UserError: an override names what is not there, or a value is out of range.
    """
    return compose_all([quote_units(overrides)])[0][0]


def compose_all(combinations: Sequence[Sequence[str]]) -> list[tuple[DictConfig, dict[str, str]]]:
    """The config of each list of overrides, and which option was taken of each group.

    Composing takes a tenth of a second, so that lists which differ in the values of settings alone share one
    composition, into a copy of which the values are set as Hydra would.

    Raises:
        UserError: an override names what is not there, or a value is out of range; it says in which list, if there are
            several.
    """
    found = []
    for words in combinations:
        try:
            values, others = _values_and_others(words)
            cfg, chosen = copy.deepcopy(_compose(others))
            try:
                for override in values:
                    OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True)
            except OmegaConfBaseException:
                _compose(tuple(words))  # which says it in Hydra's words
                raise
            validate.check(cfg)
        except UserError as error:
            raise (error if len(combinations) == 1 else _in_combination(words, str(error))) from error
        except Exception as error:
            text = explain(error, words)
            raise (UserError(text) if len(combinations) == 1 else _in_combination(words, text)) from error
        found.append((cfg, chosen))
    return found


def _in_combination(words: Sequence[str], text: str) -> UserError:
    return UserError(f"in the combination {' '.join(words)}:\n  {text}")


def _values_and_others(words: Sequence[str]) -> tuple[list[Override], tuple[str, ...]]:
    """The overrides that set a value of their own and nothing else, which need no composing; and all other words."""
    parsed = parse_overrides(words)
    keys = [override.key_or_group for override in parsed]

    def sets_a_value(override: Override) -> bool:
        key = override.key_or_group
        plain = override.type is OverrideType.CHANGE and override.package is None
        related = [k for k in keys if k == key or k.startswith(f"{key}.") or key.startswith(f"{k}.")]
        return plain and len(related) == 1 and key.partition("/")[0] not in groups() and not key.startswith("hydra")

    values = [override for override in parsed if sets_a_value(override)]
    return values, tuple(word for word, override in zip(words, parsed, strict=True) if override not in values)


@functools.lru_cache(256)
def _compose(overrides: tuple[str, ...]) -> tuple[DictConfig, dict[str, str]]:
    """Compose a config, and name the option taken of each group. The result is cached: callers must not change it."""
    cfg = _compose_with_hydra_node(overrides)
    choices = choices_of(cfg.hydra)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def _compose_with_hydra_node(overrides: Sequence[str]) -> DictConfig:
    """Compose a config that keeps Hydra's own node, and leave Hydra set up as it was."""
    schema.register()
    previous = GlobalHydra.instance().hydra  # inside a job, Hydra is already set up
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            return compose("train", list(overrides), return_hydra_config=True)
    finally:
        GlobalHydra.instance().clear()
        GlobalHydra.instance().hydra = previous


def choices_of(hydra_cfg: Any) -> dict[str, str]:
    """Which option was taken of each of our groups, from Hydra's own node."""
    return {k: v for k, v in hydra_cfg.runtime.choices.items() if v and not k.startswith(("hydra", "schema", "sweep"))}


def sweep_params(overrides: Sequence[str]) -> dict[str, str]:
    """Return the lists of values that an experiment brings to a sweep: `hydra.sweeper.params`.

    Args:
        overrides: of the sweep; its own lists do not matter.
    """
    cfg = _compose_with_hydra_node(expand_sweep(overrides)[0])
    return {str(key): str(values) for key, values in cfg.hydra.sweeper.params.items()}


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """The single configurations that `-m OVERRIDES` stands for, the last list varying fastest, as Hydra orders them.

    `["a=1,2", "b=3"]` gives `[["a=1", "b=3"], ["a=2", "b=3"]]`; `range`, `choice` and `glob` are expanded too.

    Raises:
        UserError: a word is no override, or stands for no list of values.
    """
    alternatives = []
    for override in parse_overrides(overrides):
        if override.is_sweep_override():
            alternatives.append([f"{override.get_key_element()}={value}" for value in sweep_values(override)])
        else:
            alternatives.append([override.input_line or ""])
    return [list(combination) for combination in itertools.product(*alternatives)]


def sweep_values(override: Override) -> list[str]:
    """The values of one swept setting, as they are typed.

    Raises:
        UserError: it has none that could be listed.
    """
    word, content = override.input_line, override.value()
    if isinstance(content, Glob):
        options = [option for option in groups().get(override.key_or_group, []) if "/" not in option]
        values = content.filter(options)
    elif override.is_interval_sweep():
        raise UserError(
            f"{word} is no list of values.\n  Type one, such as {override.key_or_group}=0.1,0.01, "
            "or search the interval: hydra/sweeper=search"
        )
    else:
        try:
            values = [_typed(override, text) for text in override.sweep_string_iterator()]
        except HydraException as error:  # a range whose step is 0
            raise UserError(f"{word}: {error}") from error
    if not values:
        raise UserError(f"{word} stands for no value at all.")
    return values


def _typed(override: Override, text: str) -> str:
    """Hydra's text of one value, quoted again where `choice("CONV(8) -> FC")` lost what it needs to be read back."""
    try:
        _parse_override(f"{override.get_key_element()}={text}")
    except UserError:
        plain = re.sub(r"\\(.)", r"\1", text)  # Hydra has escaped it, which does not help every character
        return QuotedString(plain, Quote.single).with_quotes()
    return text


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Read the command line's `key=value` words.

    Raises:
        UserError: a word is no override.
    """
    return [_parse_override(word) for word in overrides]


@functools.lru_cache(4096)
def _parse_override(word: str) -> Override:
    try:
        return OverridesParser.create().parse_overrides([word])[0]
    except OverrideParseException as error:
        raise UserError(
            f"'{error.override}' is not a setting.\n"
            "  Settings are written key=value. Quote a list once ('key=[1,2]'), text with brackets or blanks twice:\n"
            "  'model.pattern=\"CONV(8) -> FC\"'"
        ) from error


def check_words(words: Sequence[str]) -> None:
    """Refuse what is wrong already before Hydra composes anything: words that are no settings, unknown options.

    Raises:
        UserError: says which, and the nearest right one.
    """
    for override in parse_overrides(words):
        if override.key_or_group in groups() and (found := _unknown_option(override)):
            raise UserError(found)
        if override.is_sweep_override() and schema.is_of_sweeps(override.input_line or ""):
            raise UserError(f"{override.input_line}: a sweep has one value of this, not several.")
        if override.key_or_group.startswith("data.augment."):  # Hydra would fail on a key of a list
            raise UserError(
                f"'{override.key_or_group}': data.augment is a list.\n  Type: 'data.augment=[flip, crop(4)]'"
            )


@functools.cache
def groups() -> dict[str, list[str]]:
    """The config groups and their options, as the folders and files of `conf/` have them; `_common` is no option."""
    found: dict[str, list[str]] = {}
    for file in sorted(CONF_DIR.glob("*/**/*.yaml")):
        place = file.relative_to(CONF_DIR).with_suffix("")
        group = next((inner for inner in INNER_GROUPS if str(place).startswith(f"{inner}/")), place.parts[0])
        if place.parts[0] != "hydra" and not place.name.startswith("_"):
            found.setdefault(group, []).append(str(place.relative_to(group)))
    return dict(sorted(found.items()))


def explain(error: Exception, overrides: Sequence[str]) -> str:
    """One screen for an error of composition: which override is wrong, and the nearest right one."""
    if mistake := user_error_in(error):
        return str(mistake)
    parsed = [o for o in parse_overrides(overrides) if not (o.is_add() or o.key_or_group.startswith("hydra"))]
    chosen = [o for o in parsed if o.key_or_group in groups()]
    for override in chosen:
        if found := _unknown_option(override):
            return found
    try:
        known, _ = _compose(tuple(expand_sweep([o.input_line or ""])[0][0] for o in chosen))
    except Exception:
        known = None  # an option file is itself wrong: Hydra's message says so
    if known is not None:
        for override in parsed:
            if override not in chosen and (found := _unknown_key(override.key_or_group, known)):
                return found
    return _readable(error)


def _unknown_option(override: Override) -> str:
    group = override.key_or_group
    options = groups()[group]
    values = sweep_values(override) if override.is_sweep_override() else [override.value()]
    for value in values:
        if value is None and not override.is_delete():
            return f"{group}=null: to do without, type '~{group}'; or choose one of: {', '.join(options)}"
        if isinstance(value, str) and value not in options:
            return (
                f"{group}={value}: there is no such {group}{nearest(value, options)}.\n  Options: {', '.join(options)}"
            )
    return ""


def _unknown_key(key: str, cfg: DictConfig) -> str:
    """Walk down a dotted key as far as it is known, and say what is there instead of the first unknown part."""
    node: object = cfg
    path: list[str] = []
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return f"'{key}': '{'.'.join(path)}' is a value and has nothing below it."
        if part not in set(node):  # `in node` would say no of a setting without a value
            names = sorted(str(name) for name in node if not str(name).startswith("_"))
            if not path:
                names = sorted({*names, *groups(), "resume", "seeds"})
            full = {".".join([*path, name]) for name in names}
            hint = nearest(".".join([*path, part]), full)
            where = f"in '{'.'.join(path)}'" if path else "at the top"
            return f"'{key}': there is no such setting{hint}.\n  Known {where}: {', '.join(names)}"
        path.append(part)
        node = node._get_node(part)
    return ""


def _readable(error: Exception) -> str:
    """The library's message without its internals: the innermost cause, and the key that it names."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    keys = [line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")]
    kept = [line for line in lines if not line.startswith(("full_key:", "object_type=", "reference_type="))]
    return "\n  ".join([f"{keys[0]}: {kept[0]}" if keys and kept else (kept[0] if kept else str(error)), *kept[1:]])
