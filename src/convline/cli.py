"""Define the command `convline` and its subcommands, each of which calls one function."""

import sys
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from convline.config.options import groups, use_folders_of
from convline.errors import UserError
from convline.main import guarded
from convline.main import main as train_main
from convline.records.foreign_code import trust
from convline.run import world
from convline.signals import exit_with

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)


class Views(StrEnum):
    """List the views of an image that test-time augmentation averages over."""

    FLIP = "flip"
    FLIP_SHIFT = "flip+shift"


def _print_version(requested: bool) -> None:
    if requested:
        print(f"convline {version('convline')}")
        raise typer.Exit


def complete_override(incomplete: str) -> list[str]:
    """Complete a group, or an option of a group, for the shell: "model=le" to "model=lenet"."""
    use_folders_of([])
    group, equals, value = incomplete.partition("=")
    if not equals:
        return [f"{name}=" for name in groups() if name.startswith(group)]
    return [f"{group}={option}" for option in groups().get(group, []) if option.startswith(value)]


Trust = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="NAME", help="Let this class of a run of somebody else be built; may be repeated."),
]
Settings = Annotated[
    list[str] | None, typer.Argument(help="As for train.py: model=lenet", autocompletion=complete_override)
]
MovedData = Annotated[
    list[str] | None,
    typer.Argument(metavar="[data.root=FOLDER]", help="Where its data lie now, if they were moved."),
]
ConfigDir = Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of your own options.")]


def _use_folders(settings: list[str] | None, config_dir: Path | None) -> None:
    """Take options from the folders that a command names."""
    use_folders_of([f"--config-dir={config_dir}"] if config_dir else settings or [])


def _refuse_ranks(command: str) -> None:
    raise UserError(
        f"torchrun has started {world.num_processes()} processes, but convline {command} works in one.\n"
        f"  Type it without torchrun: convline {command} …"
    )


@app.callback()
def _describe(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train ConvNets, and work with their runs."""
    if world.num_processes() > 1 and context.invoked_subcommand != "train":
        exit_with(guarded(lambda: _refuse_ranks(str(context.invoked_subcommand)), []))


@app.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def train(
    overrides: Annotated[list[str] | None, typer.Argument(autocompletion=complete_override)] = None,
) -> int:
    """Train a network: `convline train model=lenet data=mnist`; the same as `python train.py`, with its own --help."""
    return train_main(overrides or [])


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder; its name is the project's.")],
) -> None:
    """Write a project of your own that runs at once: options, a package that they name, and tests."""
    from convline.commands.new import new_project

    new_project(folder)


@app.command()
def describe(
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="As for train.py: model=vgg16 data=cifar10", autocompletion=complete_override),
    ] = None,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write the numbers as JSON; - prints them.")] = None,
    draw: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the network.")] = None,
    multirun: Annotated[bool, typer.Option("-m", help="Accepted, but not needed: a list of values is enough.")] = False,
    config_dir: ConfigDir = None,
) -> int:
    """Print a network's layers, parameters, multiply-accumulates and receptive fields, without data or weights."""
    from convline.commands.describe import describe as describe_settings

    _use_folders(settings, config_dir)
    return describe_settings(settings or [], json, draw)


@app.command("lr-find")
def find_lr(
    settings: Settings = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = 100,
    low: Annotated[float, typer.Option(help="First learning rate.")] = 1e-5,
    high: Annotated[float, typer.Option(help="Last learning rate.")] = 10.0,
    file: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw loss against rate.")] = None,
    config_dir: ConfigDir = None,
) -> None:
    """Find a learning rate: train a few steps with one that grows, and print where the loss falls fastest."""
    from convline.commands.lr_find import lr_find

    _use_folders(settings, config_dir)
    lr_find(settings or [], steps, low, high, file)


@app.command("batch-size-find")
def find_batch_size(
    settings: Settings = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps of each size that are timed.")] = 3,
    largest: Annotated[int, typer.Option(help="The largest size to try.")] = 8192,
    config_dir: ConfigDir = None,
) -> None:
    """Find the largest batch size that fits into memory, by real training steps, and print the speed of each size."""
    from convline.commands.batch_size_find import batch_size_find

    _use_folders(settings, config_dir)
    batch_size_find(settings or [], steps, largest)


@app.command()
def evaluate(
    run_dir: Annotated[Path, typer.Argument(help="A run's directory.")],
    settings: MovedData = None,
    tta: Annotated[Views | None, typer.Option(help="Also average over views of each image.")] = None,
    trusted: Trust = None,
) -> None:
    """Evaluate a run's best checkpoint on its test set again, and print the metrics."""
    trust(trusted or [])
    from convline.commands.evaluate import reevaluate

    reevaluate(run_dir, tta, settings or [])


@app.command()
def report(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of runs, sweeps or runs; default: runs")] = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric to sort by; default: the one that chose the checkpoints.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the table and plots.")] = None,
) -> None:
    """Print a table of runs, aggregated over seeds; unless a file is named, write report.csv, .md and .html too."""
    from convline.reporting.report import report as report_runs

    report_runs(folders or [Path("runs")], metric, csv, markdown, html)


class Split(StrEnum):
    """List the splits that a command can show."""

    TEST = "test"
    VAL = "val"


@app.command()
def compare(
    groups: Annotated[
        list[str], typer.Argument(metavar="A B", help="Two folders, or A1 A2 vs B1 B2 vs C, or one and --by.")
    ],
    by: Annotated[
        str | None, typer.Option(metavar="KEY", help="Split by a setting: model, or model=lenet,vgg11")
    ] = None,
    on: Annotated[Split, typer.Option(help="The split whose metric is compared.")] = Split.TEST,
    metric: Annotated[str, typer.Option(help="The metric that is compared: acc, loss or another of the runs.")] = "acc",
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything as JSON.")] = None,
    confirm: Annotated[
        int, typer.Option(metavar="SEEDS", min=0, help="Train each again with so many fresh seeds, and compare those.")
    ] = 0,
    trusted: Trust = None,
) -> None:
    """Test whether two groups of runs or more differ, and estimate how many more seeds would show it."""
    trust(trusted or [])
    from convline.commands.compare import compare_and_confirm

    compare_and_confirm(groups, by, on.value, metric, json, confirm)


@app.command()
def figures(
    run_dir: Annotated[Path, typer.Argument(help="A run's directory.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Draw this figure only; may be repeated.")
    ] = None,
    split: Annotated[Split, typer.Option("--split", "--part", help="The split whose images are shown.")] = Split.VAL,
    svg: Annotated[bool, typer.Option("--svg", help="Write SVG files too.")] = False,
    beside: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Draw another run in the same curves.")
    ] = None,
    settings: MovedData = None,
    trusted: Trust = None,
) -> None:
    """Draw figures of what a run's network has learned into the folder pictures of the run."""
    trust(trusted or [])
    from convline.commands.figures import save

    save(run_dir, only or (), split, svg, beside or (), settings or [])


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
def slurm(
    settings: Settings = None,
    time: Annotated[str, typer.Option(help="Limit of the job, as sbatch takes it.")] = "1:00:00",
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of each machine; each gets a rank.")] = 0,
    cpus: Annotated[int, typer.Option(min=1, help="Processor cores of each rank.")] = 1,
    partition: Annotated[str | None, typer.Option(help="Partition of the cluster.")] = None,
    array: Annotated[str | None, typer.Option(metavar="SEEDS", help="One run a seed: 0-4, 0-9%2 or 1,3,5.")] = None,
    save_seconds: Annotated[int, typer.Option(min=1, help="Save the state so long before the limit.")] = 120,
    option: Annotated[list[str] | None, typer.Option(help="A further option of sbatch: --option=--account=x")] = None,
    config_dir: ConfigDir = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the script to a file.")] = None,
) -> None:
    """Print a job script for Slurm that trains one run, and goes on with it after a requeue or a time limit."""
    from convline.commands.slurm import Request, write_job_script

    _use_folders(settings, config_dir)
    request = Request(time, nodes, gpus, cpus, partition, array, save_seconds, option or [])
    write_job_script(settings or [], request, config_dir, output)


@app.command()
def reproduce(
    lessons: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Lessons, or all; overrides too.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Print the stored results of each lesson.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each configuration.")] = None,
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Folder for pages and runs.")] = Path("runs/reproduce"),
) -> None:
    """Reproduce a tutorial: train, draw, compare with what was published; `convline reproduce lenet5_mnist`."""
    from convline.lessons.reproduce import print_findings, reproduce_lessons

    words = lessons or []
    names = [word for word in words if "=" not in word]
    if show:
        print_findings(names)
        return
    reproduce_lessons(names, seeds, folder, [word for word in words if "=" in word])


def main() -> None:
    """Run the command `convline`."""
    exit_with(guarded(_run, sys.argv[1:]))


def _run() -> int:
    try:
        return app(standalone_mode=False) or 0
    except Exception as error:
        if not hasattr(error, "exit_code") or not hasattr(error, "show"):
            raise
        error.show()  # the command line's own: a misspelt command, a missing argument, or the help page
        return error.exit_code
