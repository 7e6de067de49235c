"""What a job costs beside its training, in sweeps of 100, 1,000 and 5,000 jobs: it should not grow with their number.

The runs are made up. Processor time of this process, in milliseconds a job, is printed for planning a grid, opening its
folder, the rounds of waiting for a launcher and for other processes, the report, and for opening and asking a study.
"""

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

SIZES = (100, 1_000, 5_000)
NUM_ROUNDS = 20  # of waiting, and trials that are asked for: their time is given for one


def measure_growth(sizes: tuple[int, ...] = SIZES) -> dict[str, dict[int, float]]:
    """Measure each part of a sweep at each size; return milliseconds a job by part and size."""
    sys.path.append(str(Path(__file__).parents[2] / "tests"))  # the tests' own made-up runs serve here too
    parts: dict[str, dict[int, float]] = {}
    for num_jobs in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for part, function, count in _parts(Path(folder), num_jobs):
                begun = time.process_time()
                with contextlib.redirect_stdout(io.StringIO()):
                    function()
                parts.setdefault(part, {})[num_jobs] = 1000 * (time.process_time() - begun) / count
    return parts


def show_growth(parts: dict[str, dict[int, float]]) -> None:
    """Print the measured times as a table."""
    sizes = list(next(iter(parts.values())))
    table = Table("milliseconds a job, a round or a trial", *(f"{size:,} jobs" for size in sizes))
    for part, times in parts.items():
        table.add_row(part, *(f"{times[size]:.2f}" for size in sizes))
    Console().print(table)


def _parts(folder: Path, num_jobs: int) -> list[tuple[str, Callable[[], object], int]]:  # noqa: C901
    """Return the parts of a sweep of `num_jobs` jobs that are measured, with function and number of jobs, in order."""
    from convline.config import load_config
    from convline.records import lock
    from convline.records.directory import update_summary
    from convline.reporting.report import report
    from convline.sweeps import executors
    from convline.sweeps.directory import open_folder
    from convline.sweeps.jobs import compose, plan
    from convline.sweeps.search_space import parse_space
    from convline.sweeps.study import default_url, open_study
    from convline.sweeps.trials import Trials
    from support.made_runs import make_sweep

    grid = ["data=synthetic", "model=lenet,dense", f"seed=range({num_jobs // 4})", "optimizer.lr=0.1,0.01"]
    state: dict = {}

    class Finishing:
        """Finish every job at once."""

        def run_jobs(self, directories: Sequence[Path]) -> None:
            for run_dir in directories:
                update_summary(run_dir, status="finished")

        def run_trials(self, trials: object) -> None:
            raise AssertionError

    def open_jobs() -> None:
        open_folder(state["jobs"], folder / "runs", "sweep", True, "failed")

    def run() -> None:
        for run_dir in directories:
            update_summary(run_dir, status="waiting")
        executors.run_until_done(directories, Finishing(), False)

    def wait() -> None:
        """Wait some rounds while another process runs all jobs."""
        for run_dir in directories:
            update_summary(run_dir, status="running")
            (run_dir / lock.HEARTBEAT).write_text('{"host": "another", "pid": 1}')
        rounds = iter(range(NUM_ROUNDS))

        def sleep(seconds: float) -> None:
            if next(rounds, None) is None:
                raise StopIteration

        with patch.object(executors.time, "sleep", sleep), contextlib.suppress(StopIteration):
            executors.run_until_done(directories, Finishing(), False)

    def ask() -> None:
        import optuna

        search = ["data=synthetic", "optimizer.lr=tag(log,interval(0.001,1))"]
        settings = load_config(
            ["hydra/sweeper=search", "sweep/sampler=random", f"sweep.trials={num_jobs + NUM_ROUNDS}"]
        ).sweep
        fixed, dimensions = parse_space(search, {})
        study, storage = open_study(default_url(folder), "study", settings, dimensions)
        distributions = {dimension.key: dimension.distribution for dimension in dimensions}
        trial = optuna.trial.create_trial(params={"optimizer.lr": 0.1}, distributions=distributions, value=0.5)
        study.add_trials([trial] * num_jobs)
        state["trials"] = Trials(folder, study, storage, settings, fixed, dimensions, {})
        state["trials"]._create_run = lambda number, params: folder

    def ask_on() -> None:
        while found := state["trials"]._next_trial():
            state["trials"]._finish(found[0], [0.5])

    make_sweep(folder / "made" / "sweep", num_jobs)
    directories = sorted((folder / "made" / "sweep").iterdir())
    return [
        ("compose and plan a grid", lambda: state.update(jobs=plan(compose(grid))), num_jobs),
        ("open its folder", open_jobs, num_jobs),
        ("the same folder again", open_jobs, num_jobs),
        ("report", lambda: report([folder / "made" / "sweep"]), num_jobs),
        ("run until done", run, num_jobs),
        ("wait a round for other processes", wait, NUM_ROUNDS),
        ("fill a study in SQLite", ask, num_jobs),
        ("ask and tell a trial", ask_on, NUM_ROUNDS),
    ]
