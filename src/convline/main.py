"""Run the command `python train.py`: overrides → config → runs; show a user's mistake on one screen."""

import itertools
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hydra
import yaml

# Private in Hydra 1.3.8, which has no public parser of its command line. If it moves, this import fails at every start.
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from convline.config import schema
from convline.config.compose import check_choices, choices_of
from convline.config.explain import check_overrides, explain
from convline.config.help import help_page
from convline.config.load import finish_config, prepare, spread_seeds
from convline.config.options import CONF_DIR, use_folders_of
from convline.config.overrides import AUTO, resumed_run
from convline.errors import SCHEDULER_SIGNALS, Interrupted, UserError, machine_fault
from convline.formatting import first_line, shortened, train_command
from convline.records.foreign_code import take_trust
from convline.run import world
from convline.run.start import resume, run_name, start
from convline.signals import set_handlers
from convline.stdout import open_missing_streams, output_survives

MAX_LINE, MAX_LINES = 800, 20  # letters and lines of a message


def main(arguments: list[str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: what stands after `train.py`; those of `sys.argv` if None.
    Returns:
        The exit status: 0, 1 after an error, 128 + the signal's number after an interruption.
    """
    given = sys.argv[1:] if arguments is None else arguments
    return guarded(lambda: _command(given), given)


def _command(given: list[str]) -> int:
    """Do what a command line asks for, and return the exit status."""
    arguments = _options_first(prepare(take_trust(given)))
    if "--help" in arguments or "-h" in arguments:
        use_folders_of(arguments)
        print(help_page())
        return 0
    if "--version" in arguments:
        print(f"convline {version('convline')}")
        return 0
    if any(word.startswith("resume=") and word != AUTO for word in arguments):  # a path need not obey Hydra's grammar
        return _resume(arguments)
    schema.register()
    return _under_hydra(arguments)


def _options_first(arguments: list[str]) -> list[str]:
    """Move `-m` and `--config-dir DIR` to the front: Hydra's parser takes no options between overrides."""
    options, others = [], []
    words = iter(arguments)
    for word in words:
        if word == "--config-dir":
            options += [word, *itertools.islice(words, 1)]
        elif word in ("-m", "--multirun") or word.startswith("--config-dir="):
            options.append(word)
        else:
            others.append(word)
    return [*options, *others]


def guarded(command: Callable[[], int | None], arguments: list[str]) -> int:
    """Run a command and return its exit status; show a user's mistake on one screen.

    Any other error keeps its traceback, for a bug report.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as train.py has set it
        set_handlers({signal.SIGINT: signal.default_int_handler})
    open_missing_streams()
    try:
        with output_survives():
            return command() or 0
    except Interrupted as stop:
        cause = stop.cause if stop.signum in SCHEDULER_SIGNALS else "interrupted"
        remark = f"\n  {stop.remark}" if stop.remark else ""
        _print_error(cause + (f"; to go on, type: {stop.hint}" if stop.hint else "") + remark, arguments)
        return 128 + stop.signum
    except KeyboardInterrupt:
        _print_error("interrupted", arguments)
        return 130
    except UserError as error:
        if "debug=true" in [word.lower() for word in arguments] and world.shows_messages(arguments):
            traceback.print_exc()
        _print_error(f"error: {error}", arguments)
        failure: Exception = error
    except Exception as error:
        failure = error
        fault = machine_fault(error) or _unusable_file(error)
        if fault is None or "debug=true" in [word.lower() for word in arguments]:
            traceback.print_exc()
        if fault is not None:
            _print_error(f"error: {fault}", arguments)
    world.announce_failure(failure)
    # torchrun and srun end all ranks with the first that ends, and this one has shown nothing
    if not world.shows_messages(arguments):
        time.sleep(world.FAILURE_SECONDS)
    return 1


def _unusable_file(error: Exception) -> str | None:
    """Describe an error about a file that the operating system refuses, such as a folder in the place of a file."""
    if not isinstance(error, OSError) or error.filename is None:
        return None
    return f"{error.filename2 or error.filename} cannot be read or written: {error.strerror}"


def _print_error(text: str, arguments: Sequence[str]) -> None:
    """Print a message on at most one screen: what a message quotes may be long."""
    if world.shows_messages(arguments):
        lines = [shortened(line, MAX_LINE) for line in text.splitlines()]
        omitted = ["  …"] if len(lines) > MAX_LINES else []
        print("\n".join([*lines[:MAX_LINES], *omitted]), file=sys.stderr, flush=True)


def _under_hydra(arguments: list[str]) -> int:
    """Let Hydra compose the config and call `_run`, or with -m a sweeper of `convline.sweeps`."""
    use_folders_of(arguments)
    is_auto = AUTO in arguments
    arguments = spread_seeds([word for word in arguments if word != AUTO])
    options = get_args_parser().parse_args(arguments)
    overrides = options.overrides
    check_overrides(overrides)
    if options.multirun and is_auto:
        raise UserError(f"{AUTO} is for one run: the same command of a sweep goes on by itself; leave it out.")
    if options.multirun and world.launcher() == "torchrun" and world.num_processes() > 1:
        raise UserError(
            "torchrun starts the ranks of one run, and -m starts many runs.\n"
            f"  Type: {train_command()} -m …, with trainer.devices=2 if each run is to have several ranks"
        )
    # Hydra would print a screen of its own for errors of composition and exit; ours names the nearest right word.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    statuses: list[int] = []

    def run(cfg: DictConfig) -> None:
        statuses.append(guarded(lambda: _run(cfg, is_auto), arguments))

    sys.argv = [sys.argv[0], *arguments]  # Hydra reads it
    try:
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")(run)()
    except (HydraException, OmegaConfBaseException, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(explain(error, overrides)) from error
    except Exception as error:
        if not _is_of_hydra(error):
            raise
        if str(error).startswith("Only one of"):  # two of Hydra's flags at once
            raise UserError(str(error)) from error
        raise UserError(
            f"Hydra cannot compose these settings: {type(error).__name__}: {first_line(error)}\n"
            "  Leave out one word after the other; debug=true shows where it fails."
        ) from error
    return max(statuses, default=0)


def _is_of_hydra(error: Exception) -> bool:
    """Return whether Hydra has raised an error by itself, without calling Convline: of words that it cannot read."""
    package = str(Path(__file__).parent)
    _, *frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return not any(name.startswith(package) for name in frames)


def _run(cfg: DictConfig, is_auto: bool) -> None:
    """Validate the config and train one run."""
    # not resolved: a word such as seed=${data.split_seed} is itself a reference in Hydra's node
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    choices = choices_of(HydraConfig.get())
    check_choices(choices)
    cfg, choices = finish_config(cfg, choices, overrides)
    for override in overrides:
        if schema.is_of_sweeps(override):
            raise UserError(f"{override} has an effect in a sweep only: add -m, or leave it out.")
    start(cfg, Path(cfg.runs_dir), run_name(cfg, choices), choices, is_auto)


def _resume(arguments: list[str]) -> int:
    run = resumed_run(arguments)
    assert run is not None  # as one of the words is resume=
    resume(*run)
    return 0
