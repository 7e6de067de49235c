"""Reproduce lessons for `convline reproduce`: train missing runs, read all runs, write results, figures and a page."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from convline.config.compose import sweep_params
from convline.config.options import CONF_DIR
from convline.config.overrides import parse_overrides
from convline.errors import STOP_SIGNALS, Interrupted, UserError
from convline.formatting import nearest, train_command
from convline.lessons import page
from convline.lessons.catalogue import LESSONS
from convline.lessons.claims import check_all
from convline.lessons.lesson import Lesson, LessonSweep
from convline.lessons.results import (
    ConfigurationResults,
    Results,
    load_results,
    read_configuration,
    read_environment,
)
from convline.records.directory import read_config, read_status, read_summary
from convline.run.child_process import forward_signals, import_path

RESULTS_FILE = "results.json"  # in the folder of a lesson
_INSTALLED = Path(__file__).parent / "stored_results"  # an installed package holds them; a checkout has them in docs/
STORED_RESULTS = _INSTALLED if _INSTALLED.is_dir() else CONF_DIR.parent / "docs" / "reproduction"
RESERVED_KEYS = ("experiment", "seed", "seeds", "runs_dir", "rerun", "resume", "name")  # which a lesson sets itself


def print_findings(names: Sequence[str]) -> None:
    """Print the findings of lessons from the results that are stored in the repository.

    Args:
        names: names of lessons; all of them if it is empty or ["all"].
    Raises:
        UserError: there is no such lesson.
    """
    console = Console()
    for lesson in _lessons(names or ["all"]):
        results = load_results(STORED_RESULTS / f"{lesson.name}.json")
        if results is None:
            console.print(f"{lesson.name}: {lesson.title}. No results are stored.", highlight=False)
        else:
            console.print(_findings_table(lesson, results))


def reproduce_lessons(names: Sequence[str], num_seeds: int | None, folder: Path, overrides: Sequence[str]) -> None:
    """Reproduce lessons, and print their findings and the paths of their pages.

    Args:
        names: names of lessons, or ["all"].
        num_seeds: seeds of each configuration; None: the number that the lesson sets.
        folder: folder that receives one folder per lesson.
        overrides: further overrides of every run.
    Raises:
        Interrupted: Ctrl-C or SIGTERM arrived.
        UserError: there is no such lesson, an override cannot apply to all runs, or a run failed.
    """
    if not names:
        raise UserError(f"which lesson? convline reproduce --list shows them: {', '.join(LESSONS)}, or all")
    lessons = _lessons(names)
    _check_overrides(overrides, lessons)
    if importlib.util.find_spec("markdown_it") is None:  # before hours of training, not after
        raise UserError("the page of a lesson needs markdown-it-py.\n  Type: pip install 'convline[lessons]'")
    for lesson in lessons:
        results = reproduce(lesson, folder / lesson.name, num_seeds or lesson.num_seeds, overrides)
        Console().print(_findings_table(lesson, results))
        print(f"written: {folder / lesson.name / 'page.html'}")


def reproduce(lesson: Lesson, folder: Path, num_seeds: int, overrides: Sequence[str] = ()) -> Results:
    """Train the missing runs of one lesson, and write its results and its page.

    Args:
        lesson: lesson to reproduce.
        folder: folder of its page; the runs go into folders inside it.
        num_seeds: seeds of each configuration.
        overrides: further overrides of every run, such as `threads=1`.
    Raises:
        Interrupted: Ctrl-C or SIGTERM arrived.
        UserError: a run failed, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}.\n  Name another folder: --folder DIR") from error
    for sweep in lesson.sweeps:
        _train(lesson, sweep, folder, num_seeds, overrides)
    results, first_runs = collect_results(lesson, folder, num_seeds, overrides)
    results.save(folder / RESULTS_FILE)
    page.write_page(lesson, results, folder, first_runs)
    return results


def collect_results(
    lesson: Lesson, folder: Path, num_seeds: int, overrides: Sequence[str] = ()
) -> tuple[Results, dict[str, Path]]:
    """Read the finished runs in a lesson's folder.

    Returns:
        The results, and for each label the run directory of the configuration's first seed.
    """
    configurations: dict[str, ConfigurationResults] = {}
    first_runs: dict[str, Path] = {}
    for sweep in lesson.sweeps:
        finished = _finished_runs(sweep, folder / sweep.folder, num_seeds, overrides)
        for label, (settings, run_dirs) in finished.items():
            if run_dirs:
                configurations[label] = _measured(lesson, label, settings, run_dirs)
                first_runs[label] = run_dirs[0]
    environment = read_environment(next(iter(first_runs.values()))) if first_runs else {}
    return Results(lesson.name, configurations, environment, tuple(overrides)), first_runs


def load_stored(name: str) -> Results:
    """Load the results of a lesson that are stored in the repository; empty results if there are none."""
    return load_results(STORED_RESULTS / f"{name}.json") or Results(name)


def _lessons(names: Sequence[str]) -> list[Lesson]:
    if list(names) == ["all"]:
        return list(LESSONS.values())
    for name in names:
        if name not in LESSONS:
            hint = nearest(name, LESSONS)
            raise UserError(f"there is no lesson '{name}'{hint}.\n  Lessons: {', '.join(LESSONS)}, all")
    return [LESSONS[name] for name in names]


def _check_overrides(overrides: Sequence[str], lessons: Sequence[Lesson]) -> None:
    """Refuse lists of values, seeds and folders, which a lesson sets itself, and overrides of a lesson without runs."""
    for override in parse_overrides(overrides):
        text, key = override.input_line, override.key_or_group
        if override.is_sweep_override():
            raise UserError(f"{text} is a list of values, but a lesson sets what is compared: give one value.")
        if key in RESERVED_KEYS or key.startswith("hydra"):
            raise UserError(f"{text}: a lesson sets {key} itself. Its seeds are --seeds N, its folder is --folder DIR.")
    if overrides and not any(lesson.sweeps for lesson in lessons):
        raise UserError(f"{overrides[0]}: {lessons[0].name} trains nothing: settings have no effect. Leave them out.")


def _train(lesson: Lesson, sweep: LessonSweep, folder: Path, num_seeds: int, overrides: Sequence[str]) -> None:
    arguments = [*sweep.arguments(num_seeds), *overrides]
    print(f"── {lesson.name}: {train_command()} {' '.join(arguments)}", flush=True)
    arguments += [f"runs_dir='{folder}'", f"hydra.sweep.dir='{folder / sweep.folder}'", "rerun=none"]
    # in a new session, so that Ctrl-C reaches only this process, which passes it on
    # -P and the import path: a file random.py in the current folder would be run in the place of Python's module
    command = [sys.executable, "-P", "-m", "convline", "train", *arguments]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": import_path()}, start_new_session=True)
    with forward_signals([process]) as received:
        status = process.wait()
    if received or status in [128 + signum for signum in STOP_SIGNALS]:
        raise Interrupted((received or [status - 128])[0], f"convline {shlex.join(sys.argv[1:])}")
    if status:
        run_dirs = [path.parent for path in (folder / sweep.folder).glob("*/summary.json")]
        failed = [run_dir for run_dir in run_dirs if read_status(run_dir) == "failed"]
        again = f"To do what failed again, delete {', '.join(map(str, failed))}" if failed else "See above"
        raise UserError(
            f"{lesson.name}: not every run of {folder / sweep.folder} has finished.\n"
            f"  {again}. With other settings, a lesson needs a folder of its own: --folder DIR"
        )


def _finished_runs(
    sweep: LessonSweep, folder: Path, num_seeds: int, overrides: Sequence[str]
) -> dict[str, tuple[Mapping[str, str], list[Path]]]:
    """Match the finished runs of a folder to the labels of a sweep.

    A run is matched by its recipe, the hash of all its settings, so that runs of an earlier form of the lesson are
    never counted as runs of this one.

    Returns:
        For each label: the settings in which its configuration differs, and its run directories in the order of seeds.
    """
    from convline.sweeps.jobs import compose, plan, with_params  # imported late because importing is slow

    arguments = [*sweep.arguments(num_seeds)[1:], *overrides]
    jobs = plan(compose(with_params(arguments, sweep_params(arguments))))
    by_recipe = {}
    for path in sorted(folder.glob("*/summary.json")) if folder.is_dir() else ():
        summary = read_summary(path.parent)
        if summary.get("status") == "finished":
            by_recipe[summary.get("recipe")] = path.parent
    # jobs are in the order of the sweep, and labels too; the jobs of one configuration differ in the seed alone
    labels = iter(sweep.labels)
    label_of: dict[tuple[str, ...], str] = {}
    finished: dict[str, tuple[Mapping[str, str], list[Path]]] = {}
    for job in jobs:
        swept = tuple(override for override in job.swept if not override.startswith("seed="))
        if swept not in label_of:
            label_of[swept] = next(labels)
            finished[label_of[swept]] = (dict(override.split("=", 1) for override in swept), [])
        if job.recipe in by_recipe:
            finished[label_of[swept]][1].append(by_recipe[job.recipe])
    return finished


def _measured(lesson: Lesson, label: str, settings: Mapping[str, str], run_dirs: list[Path]) -> ConfigurationResults:
    from convline.network.build import build_meta_network  # imported late because importing torch is slow
    from convline.training.loaded_run import LoadedRun

    _, summary = build_meta_network(read_config(run_dirs[0]))
    fields = [
        layer.receptive_field for layer in summary.layers if layer.receptive_field and len(layer.output_shape) > 1
    ]
    extra_metrics = [lesson.measure(LoadedRun(run_dir)) if lesson.measure else {} for run_dir in run_dirs]
    return read_configuration(label, settings, run_dirs, extra_metrics, max(fields, default=None))


def _findings_table(lesson: Lesson, results: Results) -> Table:
    findings = check_all(lesson.claims(), results)
    table = Table(title=f"{lesson.name}: {lesson.title}", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for header in ("claim", "published", "reproduced", "verdict"):
        table.add_column(header)
    for finding in findings:
        table.add_row(finding.claim, finding.published, finding.reproduced, finding.verdict)
    return table
