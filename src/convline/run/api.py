"""Train from Python, in a notebook or a script."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from convline.config.load import load_configs, prepare
from convline.config.options import use_folders_of
from convline.config.overrides import AUTO, parse_overrides, resumed_run
from convline.errors import UserError
from convline.run.start import resume, run_name, start
from convline.training.loaded_run import LoadedRun


def train(overrides: str | Sequence[str] = ()) -> LoadedRun:
    """Train a network as `python train.py OVERRIDES` does, and return its run.

    The run gives the network, the data, the predictions and the figures; see `LoadedRun`. Ctrl-C, and the interrupt of
    a notebook's kernel, save the state and raise `convline.errors.Interrupted`.

    Args:
        overrides: as on the command line, a text or a list: `"model=lenet data=digits"`; or `"resume=RUN_DIR"`, which
            continues an interrupted run; `resume=auto` beside other overrides continues the newest run that has them.
    Raises:
        UserError: an override names what is not there, a value is out of range, or several values are given.
    """
    words = shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
    if run := resumed_run(words):
        resume(*run)
        return LoadedRun(run.run_dir)
    overrides = prepare([word for word in words if word != AUTO])
    use_folders_of(overrides)
    for override in parse_overrides(overrides):
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: this trains one run; a sweep is a command: convline train -m …")
    ((cfg, choices),) = load_configs([overrides])
    return LoadedRun(start(cfg, Path(cfg.runs_dir), run_name(cfg, choices), choices, AUTO in words))
