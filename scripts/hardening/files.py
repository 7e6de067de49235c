"""Damage every file of a finished run, an interrupted run and a sweep, and try every command that reads it.

`python scripts/hardening.py files`; `--every 10` tries a tenth of the cases. Each command runs in a fork of this
process, which has imported what all of them need.
"""

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from hardening.damages import Damage, damages_of
from hardening.outcomes import Outcome, Result, show

SHORT = [
    "model=dense", "data=digits", "data.per_class=10", "trainer=cpu", "trainer.max_epochs=1", "callbacks=plain",
    "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "threads=1",
]  # fmt: skip
# What reads a directory: words of `convline`, or of `train` before "train". {} is the directory of the run.
EVALUATE, REPORT = ["evaluate", "{}"], ["report", "{}", "--csv", "report.csv"]
FIGURES = [["figures", "{}", "--only", "confusion_matrix"], ["figures", "{}", "--only", "filters"]]
COMPARE, RESUME = ["compare", "{}", "other", "--on", "val"], ["train", "resume={}"]
COMMANDS = {
    "finished": [EVALUATE, *FIGURES, REPORT, COMPARE, RESUME],
    "interrupted": [RESUME, REPORT],
    "sweep": [["train", *SHORT, "hydra.sweep.dir=sweep", "-m", "seed=0,1", "rerun=none"], REPORT],
}


@dataclass(frozen=True)
class Case:
    """Hold what is damaged, how, and the command that reads it."""

    base: str
    file: Path  # relative to the directory
    name: str
    damage: Damage
    words: Sequence[str]

    def __str__(self) -> str:
        return f"{self.base}/{self.file} {self.name}: {' '.join(self.words)}"


def command(
    every: Annotated[int, typer.Option(min=1, help="Try each n-th case only.")] = 1,
    first: Annotated[int, typer.Option(min=0, help="Number of the first case.")] = 0,
    seconds: Annotated[float, typer.Option(help="Limit of a case.")] = 60,
    only: Annotated[str, typer.Option(help="Only cases whose text holds this.")] = "",
) -> None:
    """Damage the files of runs, and try the commands that read them."""
    import convline.cli
    import convline.commands.evaluate
    import convline.commands.figures
    import convline.figures
    import convline.reporting.report
    import convline.run.train  # noqa: F401  (forks have them then)

    with TemporaryDirectory(prefix="convline_files_") as folder:
        os.environ["CONVLINE_STATE"], os.environ["CONVLINE_CACHE"] = f"{folder}/state", f"{folder}/cache"
        bases = _make_runs(Path(folder) / "bases", seconds)
        cases = [case for case in _cases(bases) if only in str(case)][first::every]
        results = []
        for number, case in enumerate(cases):
            results.append(_try(case, bases, Path(folder) / f"case{number}", seconds))
        raise typer.Exit(show(results, Console()))


def _make_runs(folder: Path, seconds: float) -> dict[str, Path]:
    """Train a run and a sweep, and make an interrupted run of the first; return their directories."""
    folder.mkdir()
    for words in (
        ["train", *SHORT],
        ["train", *SHORT, "hydra.sweep.dir=sweep", "-m", "seed=0,1"],
    ):
        result = _run(words, folder, 10 * seconds)
        assert result.outcome is Outcome.ACCEPTED, result.detail
    (run_dir,) = (path.parent for path in (folder / "runs").glob("*/summary.json"))
    shutil.copytree(run_dir, folder / "finished")
    shutil.copytree(run_dir, folder / "interrupted")
    shutil.rmtree(folder / "interrupted" / "predictions")
    summary = folder / "interrupted" / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    config = folder / "interrupted" / "config.yaml"
    config.write_text(config.read_text().replace("max_epochs: 1", "max_epochs: 2"))
    return {"finished": folder / "finished", "interrupted": folder / "interrupted", "sweep": folder / "sweep"}


def _cases(bases: dict[str, Path]) -> Iterator[Case]:
    for base, folder in bases.items():
        for path in sorted(folder.rglob("*")):
            is_of_last_job = base == "sweep" and len(path.relative_to(folder).parts) > 1 and "seed=1" not in str(path)
            if path.is_file() and "tfevents" not in path.name and not is_of_last_job:
                for name, damage in damages_of(path):
                    for words in COMMANDS[base]:
                        yield Case(base, path.relative_to(folder), name, damage, words)


def _try(case: Case, bases: dict[str, Path], folder: Path, seconds: float) -> Result:
    """Damage a copy of a directory, and run a command on it."""
    name = "sweep" if case.base == "sweep" else "damaged"  # the command of a sweep names its folder
    place = folder / name
    shutil.copytree(bases[case.base], place)
    shutil.copytree(bases["finished"], folder / "other")
    case.damage(place / case.file)
    try:
        return _run([word.format(name) for word in case.words], folder, seconds, str(case))
    finally:
        shutil.rmtree(folder)


def _run(words: Sequence[str], folder: Path, seconds: float, case: str = "") -> Result:
    """Run a command in a fork of this process, in a folder, and judge how it ended."""
    output = folder / ".output"
    pid = os.fork()
    if pid == 0:
        _call(words, folder, output)
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return Result(case, Outcome.HANG, f"after {seconds:g} s: {words[0]}", output.read_text(errors="replace"))
        time.sleep(0.02)
    text = output.read_text(errors="replace")
    if "Traceback (most recent call last)" in text:
        lines = [line for line in text.splitlines() if line.strip()]
        frames = [line.strip() for line in lines if "/convline/" in line and line.lstrip().startswith("File")]
        return Result(case, Outcome.TRACEBACK, f"{lines[-1][:150]}  {frames[-1] if frames else ''}", text)
    if os.WIFSIGNALED(status):
        return Result(case, Outcome.CRASH, f"signal {os.WTERMSIG(status)}", text)
    return Result(case, Outcome.REFUSED if os.waitstatus_to_exitcode(status) else Outcome.ACCEPTED, "", text)


def _call(words: Sequence[str], folder: Path, output: Path) -> None:
    """Run a command in this process, which is a fork, and end it."""
    status = 1
    try:
        os.chdir(folder)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        from convline.cli import main as convline_main
        from convline.main import main as train_main

        is_training = words[0] == "train"
        sys.argv = ["train.py", *words[1:]] if is_training else ["convline", *words]
        status = 0
        if is_training:
            status = train_main(list(words[1:]))
        else:
            convline_main()
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
