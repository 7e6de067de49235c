"""Explain errors of composition on one screen: which override is wrong, and the nearest correct one."""

from collections.abc import Sequence

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from convline.config import schema
from convline.config.compose import compose_config
from convline.config.options import groups, undecodable_file
from convline.config.overrides import expand_sweep, parse_overrides, sweep_values
from convline.errors import UserError, user_error_in
from convline.formatting import nearest, shortened

MAX_LINE = 400  # letters of a line, which may quote a value of any length


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse unknown options, and arguments that are no settings, before Hydra composes anything.

    Raises:
        UserError: names the wrong word and the nearest correct one.
    """
    for override in parse_overrides(overrides):
        key, text = override.key_or_group, override.input_line
        if not key:
            raise UserError(f"'{text}' is not a setting: it names none.\n  Settings are written key=value.")
        if key in groups() and isinstance(override.value(), list | dict | int | float):
            raise UserError(f"{text}: {key} takes the name of one option.\n  For a run of each, type: -m {key}=A,B")
        if key in groups() and (found := _unknown_option(override)):
            raise UserError(found)
        if override.is_sweep_override() and schema.is_of_sweeps(override.input_line or ""):
            raise UserError(f"{override.input_line}: a sweep has one value of this, not several.")
        if override.key_or_group.startswith("data.augment."):  # Hydra would fail on a key of a list
            raise UserError(
                f"'{override.key_or_group}': data.augment is a list.\n  Type: 'data.augment=[flip, crop(4)]'"
            )


def explain(error: Exception, overrides: Sequence[str]) -> str:
    """Say which override caused an error of composition, and name the nearest correct one."""
    if mistake := user_error_in(error):
        return str(mistake)
    if isinstance(error, UnicodeDecodeError):
        return f"{undecodable_file() or 'a file of options'} is not UTF-8 ({error.reason}).\n  Save it in this encoding"
    if isinstance(error, yaml.YAMLError):
        return f"a file of options is no YAML: {' '.join(str(error).split())}"
    parsed = [o for o in parse_overrides(overrides) if not (o.is_add() or o.key_or_group.startswith("hydra"))]
    chosen = [o for o in parsed if o.key_or_group in groups()]
    for override in chosen:
        if found := _unknown_option(override):
            return found
    try:
        known, _ = compose_config(tuple(expand_sweep([o.input_line or ""])[0][0] for o in chosen))
    except Exception:
        known = None  # an option file is itself wrong: Hydra's message says so
    if known is not None:
        for override in parsed:
            if override not in chosen and (found := _unknown_key(override.key_or_group, known)):
                return found
    return _readable(error)


def _unknown_option(override: Override) -> str:
    """Explain an option that its group does not have; return "" if it has all that the override names."""
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
    """Follow a dotted key to its first unknown part, and list the known names there; return "" if all are known."""
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
        # private: OmegaConf 2.3 has no public way to see a node without resolving it
        node = node._get_node(part)
    return ""


def _readable(error: Exception) -> str:
    """Return the message of the innermost cause and the key that it names, without OmegaConf's internals."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [shortened(line.strip(), MAX_LINE) for line in str(error).splitlines() if line.strip()]
    keys = [line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")]
    kept = [line for line in lines if not line.startswith(("full_key:", "object_type=", "reference_type="))]
    return "\n  ".join([f"{keys[0]}: {kept[0]}" if keys and kept else (kept[0] if kept else str(error)), *kept[1:]])
