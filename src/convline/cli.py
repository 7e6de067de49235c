"""`convline evaluate …`: what is done with runs after they are done. Thin: each command calls one function."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from convline.main import guarded

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


class Views(StrEnum):
    """Test-time augmentation."""

    FLIP = "flip"
    FLIP_SHIFT = "flip+shift"


@app.callback()
def _describe() -> None:
    """Tools around the runs of `python train.py`."""


@app.command()
def describe(
    settings: Annotated[list[str] | None, typer.Argument(help="As for train.py: model=vgg16 data=cifar10")] = None,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write the figures as JSON; - prints them.")] = None,
    draw: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the network.")] = None,
    multirun: Annotated[bool, typer.Option("-m", help="Not needed: lists make a sweep by themselves.")] = False,
) -> int:
    """Print a network's layers, parameters, multiply-adds and receptive fields; needs no data and builds no weights."""
    from convline.commands.describe import describe as describe_settings

    return describe_settings(settings or [], json, draw)


@app.command()
def evaluate(
    run_dir: Annotated[Path, typer.Argument(help="A run's directory.")],
    tta: Annotated[Views | None, typer.Option(help="Average over views of each image too.")] = None,
) -> None:
    """Evaluate a run's best checkpoint on its test set again and print the figures."""
    from convline.commands.evaluate import reevaluate

    reevaluate(run_dir, tta)


@app.command()
def report(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of runs, sweeps or runs; default: runs")] = None,
    metric: Annotated[str | None, typer.Option(help="What sorts; default: what chose the checkpoints.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="... as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="... as a page with plots.")] = None,
) -> None:
    """Print a table of runs, seeds folded; unless a file is named, write report.csv, .md and .html beside them."""
    from convline.reporting.report import report as report_runs

    report_runs(folders or [Path("runs")], metric, csv, markdown, html)


class Part(StrEnum):
    """The images that figures are of."""

    TEST = "test"
    VAL = "val"


class Figure(StrEnum):
    """What is compared."""

    ACC = "acc"
    LOSS = "loss"


@app.command()
def compare(
    groups: Annotated[
        list[str], typer.Argument(metavar="A B", help="Two folders, or A1 A2 vs B1 B2, or one and --by.")
    ],
    by: Annotated[
        str | None, typer.Option(metavar="KEY", help="Split by a setting: model, or model=lenet,vgg11")
    ] = None,
    on: Annotated[Part, typer.Option(help="Which images' figures.")] = Part.TEST,
    metric: Annotated[Figure, typer.Option(help="Which figure.")] = Figure.ACC,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything as JSON.")] = None,
) -> None:
    """Say whether the data support a difference between two groups of runs, and how many more seeds would."""
    from convline.reporting.compare import compare as compare_runs

    compare_runs(groups, by, on.value, metric.value, json)


@app.command()
def figures(
    run_dir: Annotated[Path, typer.Argument(help="A run's directory.")],
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="This picture; may be repeated.")] = None,
    split: Annotated[Part, typer.Option("--split", "--part", help="Whose images.")] = Part.VAL,
    svg: Annotated[bool, typer.Option("--svg", help="Write SVG files too.")] = False,
    beside: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Another run in the same curves.")] = None,
) -> None:
    """Draw what a run's network has learned into its folder pictures."""
    from convline.commands.figures import save

    save(run_dir, only or (), split, svg, beside or ())


@app.command()
def dashboard(
    runs: Annotated[Path, typer.Argument(help="A folder of runs.")] = Path("runs"),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any free one; if left out, 6006 or the next free one.")
    ] = None,
) -> None:
    """Start TensorBoard on a folder of runs, for this machine's browser."""
    from convline.commands.dashboard import show

    show(runs, port)


@app.command()
def reproduce(
    lessons: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Of lessons, or all; settings too.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Print what came out of each, from stored results.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each configuration.")] = None,
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Where pages and runs go.")] = Path("runs/reproduce"),
) -> None:
    """Do a tutorial's lesson again: train, draw, compare with what was published; `convline reproduce lenet5_mnist`."""
    from convline.lessons.reproduce import print_findings, reproduce_lessons

    words = lessons or []
    names = [word for word in words if "=" not in word]
    if show:
        print_findings(names)
        return
    reproduce_lessons(names, seeds, folder, [word for word in words if "=" in word])


def main() -> None:
    """Entry of the `convline` command."""
    sys.exit(guarded(_run, sys.argv[1:]))


def _run() -> int:
    try:
        return app(standalone_mode=False) or 0
    except Exception as error:
        if not hasattr(error, "exit_code") or not hasattr(error, "show"):
            raise
        error.show()  # the command line's own: a misspelt command, a missing argument, or the help page
        return error.exit_code
