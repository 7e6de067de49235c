"""`convline evaluate …`: what is done with runs after they are done. Thin: each command calls one function."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from convline.main import guarded

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _describe() -> None:
    """Tools around the runs of `python train.py`."""


@app.command()
def evaluate(run_dir: Annotated[Path, typer.Argument(help="A run's directory.")]) -> None:
    """Evaluate a run's best checkpoint on its test set again and print the figures."""
    from convline.reevaluation import reevaluate

    reevaluate(run_dir)


def main() -> None:
    """Entry of the `convline` command."""
    sys.exit(guarded(lambda: app(standalone_mode=False), sys.argv[1:]))
