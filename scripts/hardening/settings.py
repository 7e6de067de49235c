"""Try odd values of every setting, and odd words, against what `python train.py` calls.

Each case runs in a process of its own, forked from this one, which has imported torch; it ends where training would
begin, after a time limit, or at a limit of memory.
"""

import contextlib
import faulthandler
import multiprocessing
import multiprocessing.connection
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from hardening.bad_values import cases, write_images
from hardening.outcomes import Outcome, Result, show

MAX_LINES = 24  # of a message: a screen
TIMEOUT_MARK = "Timeout ("  # that faulthandler prints above the stacks
REACHED = 99  # exit status of a case whose training would begin
_FRAME = re.compile(r'File "[^"]*/((?:convline|hydra_plugins)/[^"]+)", line (\d+),? in (\w+)')


def command(
    every: Annotated[int, typer.Option(min=1, help="Try each N-th case only.")] = 1,
    first: Annotated[int, typer.Option(min=0, help="Number of the first case.")] = 0,
    only: Annotated[str, typer.Option(help="Try the cases whose words match this regular expression only.")] = "",
    fit: Annotated[bool, typer.Option(help="Train one batch too, and test.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit of a case.")] = 60,
    gigabytes: Annotated[float, typer.Option(min=1, help="Memory that a case may take beyond what torch takes.")] = 6,
    workers: Annotated[int, typer.Option(min=1, help="Cases at the same time.")] = 2,
    log: Annotated[Path | None, typer.Option(help="Write each case and its message there.")] = None,
) -> None:
    """Try odd values of every setting, removed and added keys, and odd words."""
    chosen = [words for words in cases() if re.search(only, " ".join(words))][first::every]
    results = []
    with log.open("w", errors="backslashreplace") if log is not None else contextlib.nullcontext() as file:
        for result in _results(chosen, fit, seconds, gigabytes, workers):
            results.append(result)
            if file is not None:
                print(f"{result.outcome}\t{_short(result.case)!r}\t{result.detail!r}", file=file, flush=True)
    raise typer.Exit(show(results, Console()))


def _results(
    chosen: Iterable[tuple[str, ...]], fit: bool, seconds: float, gigabytes: float, num_workers: int
) -> Iterator[Result]:
    """Run the cases, several at the same time, and yield how each ended."""
    import lightning.pytorch as pl
    import optuna  # noqa: F401  (imported once, before the forks)

    import convline.run.train  # noqa: F401
    from convline.config import load_config

    load_config()  # fills caches
    if not fit:
        pl.Trainer.fit = _reach_training  # type: ignore[method-assign]
    context = multiprocessing.get_context("fork")
    waiting, running = iter(chosen), dict[BaseProcess, tuple[tuple[str, ...], Path, float]]()
    while True:
        while len(running) < num_workers and (words := next(waiting, None)) is not None:
            folder = Path(tempfile.mkdtemp(prefix="hardening_"))
            started = context.Process(target=_run_case, args=(words, folder, fit, seconds, gigabytes))
            started.start()
            running[started] = words, folder, time.monotonic()
        if not running:
            return
        multiprocessing.connection.wait([process.sentinel for process in running], timeout=1)
        for process, (words, folder, began) in list(running.items()):
            is_late = time.monotonic() - began > seconds + 10  # the process could not even print its stack
            if process.is_alive() and not is_late:
                continue
            with contextlib.suppress(ProcessLookupError):  # its own children too
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
            del running[process]
            yield classified(words, folder, process.exitcode, is_late)
            shutil.rmtree(folder, ignore_errors=True)


def _reach_training(*arguments: object, **named: object) -> NoReturn:
    """End the process where training would begin; a job of a sweep would take any exception for a failure."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(REACHED)


def _run_case(words: tuple[str, ...], folder: Path, fit: bool, seconds: float, gigabytes: float) -> None:
    """Run one command line in this process, in its folder, and exit with its status."""
    os.setsid()
    os.chdir(folder)
    write_images(folder / "images")
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ |= {"WANDB_MODE": "offline", "COMET_START_ONLINE": "0", "HOME": str(folder), "TQDM_DISABLE": "1"}
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + int(gigabytes * 2**30),) * 2)
    faulthandler.dump_traceback_later(seconds, exit=True)
    from convline.main import main

    sys.argv = ["train.py", *words]
    before = ["trainer=one_batch", "callbacks=plain"] if fit else []
    try:
        status = main([*before, *words])
    except SystemExit as error:  # of the parser of Hydra's options
        status = error.code if isinstance(error.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def classified(words: tuple[str, ...], folder: Path, status: int | None, is_late: bool) -> Result:
    """Tell how a case ended from its exit status and what it printed.

    Args:
        words: the case.
        folder: its folder, which has a file `err`.
        status: its exit status; minus the number of the signal that killed it.
        is_late: whether it was killed because it did not end.
    """
    case = " ".join(words)
    text = (folder / "err").read_text(errors="replace") if (folder / "err").exists() else ""
    places = _FRAME.findall(text)
    place = "{}:{} {}".format(*places[-1]) if places else ""
    lines = [line for line in text.strip().splitlines() if not line.startswith(("W1", "I1"))]
    last = lines[-1] if lines else ""
    if is_late or TIMEOUT_MARK in text:
        return Result(case, Outcome.HANG, place, text)
    if "Traceback (most recent call last)" in text:
        named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Warning|Interrupt)\b", line)]
        return Result(case, Outcome.TRACEBACK, f"{_short((named or [last])[-1])} at {place}", text)
    if status not in (0, 1, 2, REACHED):
        return Result(case, Outcome.CRASH, f"status {status}, {_short(last)}", text)
    if status in (1, 2):
        num_lines = sum(1 + len(line) // 160 for line in lines)
        if num_lines > MAX_LINES:
            return Result(case, Outcome.TRACEBACK, f"a message longer than a screen: {_short(lines[0])}", text)
        if not last:
            return Result(case, Outcome.TRACEBACK, "status 1 without a message", text)
        return Result(case, Outcome.REFUSED, detail=text)
    return Result(case, Outcome.ACCEPTED, detail=text)


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:80]} … {text[-70:]}"
