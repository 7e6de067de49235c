"""The command `python train.py`: words of the command line -> configs -> runs, and one screen for what goes wrong."""

import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from convline import config, manual, ranges, schema
from convline.errors import Interrupted, UserError
from convline.quoting import quote_units


def main(words: list[str] | None = None) -> int:
    """Run what the command line says.

    Args:
        words: the command line after `train.py`; taken from `sys.argv` if None.
    Returns:
        The exit status: 0, 1 after an error, 128 + the signal's number after an interruption.
    """
    words = quote_units(sys.argv[1:] if words is None else words)
    if "--help" in words or "-h" in words:
        print(manual.page())
        return 0
    if any(word.startswith("resume=") for word in words):  # a path is no matter for Hydra's grammar
        return guarded(lambda: _resume(words), words)
    schema.register()
    return guarded(lambda: _under_hydra(words), words)


def guarded(command: Callable[[], int | None], words: list[str]) -> int:
    """Run a command and give its exit status; show a user's mistake on one screen.

    Our own mistakes keep their traceback, for the bug report.
    """
    try:
        return command() or 0
    except Interrupted as stop:
        _complain("interrupted" + (f"; to go on, type: {stop.hint}" if stop.hint else ""))
        return 128 + stop.signum
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except UserError as error:
        if "debug=true" in [word.lower() for word in words]:
            traceback.print_exc()
        _complain(f"error: {error}")
    except Exception:
        traceback.print_exc()
    return 1


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _under_hydra(words: list[str]) -> int:
    """Hand over to Hydra, which calls `_job` once or, with -m, once for each combination."""
    settings = get_args_parser().parse_args(words).overrides
    config.check_words(settings)
    # Hydra would print a screen of its own for errors of composition and exit; ours names the nearest right word.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    statuses: list[int] = []
    swept = {o.get_key_element() for o in config.parse_overrides(settings) if o.is_sweep_override()}

    def job(cfg: DictConfig) -> float | None:
        # a failed job is reported at once and does not stop the others; an interruption does
        value: list[float | None] = []
        statuses.append(guarded(lambda: value.append(_job(cfg, swept)), words))
        if statuses[-1] > 128 and HydraConfig.get().mode == RunMode.MULTIRUN:
            raise Interrupted(statuses[-1] - 128)
        return value[0] if value else None

    sys.argv = [sys.argv[0], *words]
    try:
        hydra.main(version_base="1.3", config_path=str(config.CONF_DIR), config_name="train")(job)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # a ValueError: a list taken for a group
        raise UserError((_bad_combination(settings) if swept else "") or config.explain(error, settings)) from error
    if len(statuses) > 1 and any(statuses):
        _complain(f"{sum(map(bool, statuses))} of {len(statuses)} jobs failed; see above")
    return max(statuses, default=0)


def _bad_combination(settings: list[str]) -> str:
    """Hydra composes every job of a sweep before it starts the first one; say which of them it was."""
    for combination in config.expand_sweep(settings):
        try:
            config.load_config(combination)
        except UserError as error:
            return f"in the combination {' '.join(combination)}:\n  {error}"
    return ""


def _job(cfg: DictConfig, swept: set[str]) -> float | None:
    """One run, alone or in a sweep; the value that a sweep looks at is the best of what the checkpoints watch."""
    hydra_cfg = HydraConfig.get()
    overrides = list(hydra_cfg.overrides.task)
    ranges.check(cfg)
    from convline import training  # torch and lightning take seconds: only for a config that is right

    choices = {k: v for k, v in hydra_cfg.runtime.choices.items() if v and not k.startswith(("hydra", "schema"))}
    if hydra_cfg.mode == RunMode.MULTIRUN:
        parent, name = Path(hydra_cfg.sweep.dir), _job_name(overrides, swept)
        name = f"{cfg.name},{name}".replace("/", "-") if cfg.name else name
        print(f"── job {hydra_cfg.job.num}: {' '.join(overrides)}", flush=True)
    else:
        name = (cfg.name or f"{choices['model']}_{choices['data']}").replace("/", "-")
        parent, name = Path(cfg.runs_dir), f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name}"
    summary = training.start(cfg, parent, name, choices)
    return summary["metrics"][_watched(cfg)]


def _watched(cfg: DictConfig) -> str:
    checkpoint = (cfg.callbacks or {}).get("checkpoint")
    return checkpoint.monitor if checkpoint and checkpoint.monitor.startswith("val/") else "val/acc"


def _resume(words: list[str]) -> int:
    run_dir = next(word for word in words if word.startswith("resume=")).removeprefix("resume=").strip("'\"")
    others = [word for word in words if not word.startswith(("resume=", "debug="))]
    if others:
        raise UserError(
            f"resume={run_dir} goes on with that run's own settings, so {' '.join(others)} would have no effect.\n"
            f"  Type: python train.py resume={run_dir}"
        )
    from convline import training

    training.resume(Path(run_dir))
    return 0


def _job_name(overrides: list[str], swept: set[str]) -> str:
    """Readable and short: the last part of each swept key with its value, such as `model=lenet,lr=0.1,seed=0`."""
    parts = []
    for word in overrides:
        key, _, value = word.partition("=")
        if key in swept:
            parts.append(f"{key.split('.')[-1]}={value}")
    text = "".join(c if c.isalnum() or c in "=.,_-+" else "-" for c in ",".join(parts)) or "default"
    if len(text) > 120:
        text = f"{text[:100]}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
    return text
