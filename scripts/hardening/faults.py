"""Break the machine under runs and sweeps: full and read-only disks, few descriptors, little memory, odd environments.

No fault may give a traceback or a hang. When it is over, the run is resumed or the command typed again, and must end as
the undisturbed one. Mounts are made in a mount namespace of this process, which needs root; without it, they are
skipped, and a full disk is a limit of the size of a file.
"""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hardening.commands import Ended, orphans, preload, run
from hardening.kill_kinds import GRID, KINDS, SMALL, Kind
from hardening.points import Plan, send_signal
from hardening.undisturbed import differences

NEW_MOUNTS = 0x00020000  # CLONE_NEWNS of unshare
STREAMING = KINDS["streaming loader"].words
LARGE = (
    *(word for word in STREAMING if not word.startswith("data.source.num_train")),
    "data.source.num_train=400",
    "data.batch_size=200",
    "data.image_size=64",
)
UNKNOWN_USER = 12345
HARDEST_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


@dataclass(frozen=True)
class Fault:
    """Describe a fault of the machine.

    Args:
        kind: the kind of the run or sweep that has it.
        prepare: called in the process of the command, before it.
        interrupt: called with folder and process id until it returns true.
        before: called with the folder, before the command.
        after: called with the folder when the command has ended: the fault is over.
        environment: variables of a command that begins with a new interpreter.
    """

    kind: Kind
    prepare: Callable[[], None] | None = None
    interrupt: Callable[[Path, int], bool] | None = None
    before: Callable[[Path], None] | None = None
    after: Callable[[Path], None] | None = None
    environment: dict[str, str] | None = None


def command(
    folder: Annotated[Path, typer.Option(help="keeps what was lost")] = Path("runs/faults"),
    only: Annotated[str, typer.Option(help="faults whose name contains this")] = "",
) -> None:
    """Break the machine under runs and sweeps; exit with 1 after a traceback, a hang or a loss."""
    folder = folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    preload()
    can_mount = _own_mounts()
    references: dict[Kind, Path] = {}
    failed = False
    counts: dict[str, list[int]] = {}
    for name, fault in faults(can_mount).items():
        if only not in name:
            continue
        if fault.kind not in references:
            references[fault.kind] = _undisturbed(fault.kind, folder / f"reference-{len(references)}")
        home = folder / "".join(c if c.isalnum() else "-" for c in name)
        first, losses = _suffer(fault, home, references[fault.kind])
        group = name.partition(":")[0]
        count = counts.setdefault(group, [0, 0, 0])
        count[0] += 1
        count[1] += first.status != 0
        count[2] += bool(losses)
        print(f"{'LOST' if losses else 'ok'}: {name}: status {first.status}", flush=True)
        message = first.text.strip().splitlines()[-3:] if first.status else []
        for line in [*message, *losses]:
            print("    " + line.replace("\n", "\n    "), flush=True)
        failed = failed or bool(losses)
    print("\n| fault | tried | ended with a message | tracebacks, hangs, losses |\n|---|---:|---:|---:|")
    for group, (tried, refused, lost) in counts.items():
        print(f"| {group} | {tried} | {refused} | {lost} |")
    sys.exit(1 if failed else 0)


def faults(can_mount: bool) -> dict[str, Fault]:
    """Return all faults by their names."""
    plain, grid, streaming = KINDS["plain run"], Kind(GRID, num_runs=4), KINDS["streaming loader"]
    found: dict[str, Fault] = {}
    if can_mount:
        found["read-only folder: of runs"] = Fault(plain, before=_read_only("runs"), after=_unmount("runs"))
        found["read-only folder: of a grid"] = Fault(grid, before=_read_only("runs"), after=_unmount("runs"))
        found["/dev/shm of 1 MB"] = Fault(Kind(LARGE), prepare=_small_shared_memory)
    for point in ("batch", "open last.ckpt", "open .last.tmp", "open test_ledger.csv"):
        found[f"runs deleted in flight: at {point}"] = Fault(plain, interrupt=_delete_runs(point))
    found["runs deleted in flight: of a grid"] = Fault(grid, interrupt=_delete_runs("open .last.tmp"))
    for number in (32, 48, 64):
        found[f"file descriptors: {number}, run"] = Fault(plain, prepare=_limit(resource.RLIMIT_NOFILE, number))
        found[f"file descriptors: {number}, streaming"] = Fault(
            streaming, prepare=_limit(resource.RLIMIT_NOFILE, number)
        )
    found["file descriptors: 64, grid"] = Fault(grid, prepare=_limit(resource.RLIMIT_NOFILE, 64))
    for megabytes in (5, 20, 50, 100, 200):
        found[f"memory: {megabytes} MB more, run"] = Fault(plain, prepare=_limit_memory(megabytes))
        found[f"memory: {megabytes} MB more, streaming"] = Fault(streaming, prepare=_limit_memory(megabytes))
        found[f"memory: {megabytes} MB more, grid"] = Fault(grid, prepare=_limit_memory(megabytes))
    digits = Kind((*(word for word in SMALL if "source" not in word and "synthetic" not in word), "data=digits"))
    found["home: not there"] = Fault(digits, prepare=_set(HOME="/nonexistent", CONVLINE_CACHE=None))
    found["home: not writable"] = Fault(digits, prepare=_set(HOME="/proc", CONVLINE_CACHE=None))
    found["home: none"] = Fault(digits, prepare=_set(HOME=None, CONVLINE_CACHE=None))
    found["home: none, a user without a name"] = Fault(digits, prepare=_become_nobody, before=_give_to_nobody)
    found["output: no terminal, no stdin, stdout or stderr"] = Fault(plain, prepare=_close_descriptors)
    found["output: of a grid, no stdin, stdout or stderr"] = Fault(grid, prepare=_close_descriptors)
    found["locale: ASCII, run"] = Fault(plain, environment=HARDEST_LOCALE)
    found["locale: ASCII, grid"] = Fault(grid, environment=HARDEST_LOCALE)
    found["umask 077"] = Fault(plain, prepare=lambda: _ignored(os.umask(0o077)))
    found["clock: set back an hour in a run"] = Fault(plain, prepare=_set_clock_back)
    found["clock: set back an hour in a grid"] = Fault(grid, prepare=_set_clock_back)
    found["two processes: resume the same run"] = Fault(plain, interrupt=_second_process())
    for kilobytes in range(0, 400, 20) if can_mount else range(0, 100, 10):
        found[f"full disk under a run: {kilobytes} KB"] = _full_disk(plain, kilobytes, can_mount)
    for kilobytes in range(0, 1600, 100) if can_mount else range(0, 100, 20):
        found[f"full disk under a grid: {kilobytes} KB"] = _full_disk(grid, kilobytes, can_mount)
    return found


def _undisturbed(kind: Kind, folder: Path) -> Path:
    folder.mkdir()
    done = run(list(kind.words), Plan(str(folder)))
    if done.status:
        raise RuntimeError(done.text)
    return folder


def _suffer(fault: Fault, folder: Path, reference: Path) -> tuple[Ended, list[str]]:
    """Run a command with a fault, and once more without it if it has failed; return its end, and what was lost."""
    folder.mkdir()
    (folder / "runs").mkdir()
    os.chmod(folder, 0o777)
    os.chmod(folder / "runs", 0o777)
    if fault.before is not None:
        fault.before(folder)
    words = list(fault.kind.words)
    plan = Plan(str(folder))
    if fault.environment is not None:
        first = _new_interpreter(words, folder, fault.environment)
    else:
        interrupt = None if fault.interrupt is None else lambda pid: fault.interrupt(folder, pid)  # type: ignore[misc]
        first = run(words, plan, interrupt=interrupt, prepare=fault.prepare)
    losses = _losses_of_output(first)
    if fault.after is not None:
        fault.after(folder)
    num_logged = first.points.count("open test_ledger.csv")
    if first.status:
        runs = [path.parent for path in folder.glob("runs/*/summary.json")]
        again = words if fault.kind.is_sweep or not runs else [f"resume={runs[0].relative_to(folder)}"]
        second = run(again, plan)
        num_logged += second.points.count("open test_ledger.csv")
        losses += _losses_of_output(second)
        if second.status:
            losses.append(f"once the fault is over, {again} ends with {second.status}: {second.text[-1500:]}")
    losses += [f"process left: {line}" for line in orphans()]
    if not losses and fault.environment is None and fault.interrupt is None:
        losses += differences(fault.kind, reference, folder, num_logged, 1)
    if (folder / "runs").is_mount():
        subprocess.run(["umount", "-l", str(folder / "runs")], check=False)
    return first, losses


def _losses_of_output(done: Ended) -> list[str]:
    if done.has_hung:
        return [f"it hung: {done.text[-1500:]}"]
    if "Traceback" in done.text or "Exception ignored" in done.text:
        return [f"a traceback: {done.text[-3000:]}"]
    if done.status not in (0, 1):
        return [f"status {done.status}: {done.text[-1500:]}"]
    return []


def _new_interpreter(words: list[str], folder: Path, environment: dict[str, str]) -> Ended:
    script = Path(__file__).parents[2] / "train.py"
    done = subprocess.run(
        [sys.executable, str(script), *words],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )
    return Ended(done.returncode, done.stdout.decode(errors="replace"), "", (), False)


def _ignored(value: object) -> None:
    """Drop a value, so that a function with a result can prepare a process."""


def _own_mounts() -> bool:
    """Give this process mounts of its own; return whether it may make some."""
    if ctypes.CDLL(None).unshare(NEW_MOUNTS):
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], check=False, stderr=subprocess.DEVNULL).returncode == 0


def _full_disk(kind: Kind, kilobytes: int, can_mount: bool) -> Fault:
    if not can_mount:
        return Fault(kind, prepare=_limit(resource.RLIMIT_FSIZE, 1024 * kilobytes))

    def mount(folder: Path) -> None:
        size = f"size={max(4, kilobytes)}k"  # 0 would be without a limit
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder / "runs")], check=True)

    def grow(folder: Path) -> None:
        subprocess.run(["mount", "-o", "remount,size=100m", str(folder / "runs")], check=True)

    return Fault(kind, before=mount, after=grow)


def _read_only(name: str) -> Callable[[Path], None]:
    def mount(folder: Path) -> None:
        subprocess.run(["mount", "--bind", str(folder / name), str(folder / name)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder / name)], check=True)

    return mount


def _unmount(name: str) -> Callable[[Path], None]:
    return lambda folder: _ignored(subprocess.run(["umount", str(folder / name)], check=True))


def _small_shared_memory() -> None:
    _own_mounts()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/dev/shm"], check=True)


def _delete_runs(point: str) -> Callable[[Path, int], bool]:
    def delete(folder: Path, pid: int) -> bool:
        trace = folder / "points.txt"
        if not trace.exists() or point not in trace.read_text().split("\n"):
            return False
        shutil.rmtree(folder / "runs", ignore_errors=True)
        return True

    return delete


def _second_process() -> Callable[[Path, int], bool]:
    """Stop the first process in its training, resume its run in a second one, which must refuse, and let it go on."""

    def resume(folder: Path, pid: int) -> bool:
        import signal

        trace = folder / "points.txt"
        if not trace.exists() or "batch" not in trace.read_text().split("\n"):
            return False
        send_signal(pid, signal.SIGSTOP)
        (run_dir,) = folder.glob("runs/*/")
        other = folder.with_name("second-process")
        other.mkdir(exist_ok=True)
        done = run([f"resume={run_dir}"], Plan(str(other)))
        if done.status != 1 or "still running" not in done.text:
            print(f"the second process ended with {done.status}: {done.text}")
            send_signal(pid, signal.SIGKILL)
        send_signal(pid, signal.SIGCONT)
        return True

    return resume


def _limit(which: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(which, (value, resource.getrlimit(which)[1]))


def _limit_memory(megabytes: int) -> Callable[[], None]:
    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        size = pages * resource.getpagesize() + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    return limit


def _set(**variables: str | None) -> Callable[[], None]:
    def change() -> None:
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    return change


def _give_to_nobody(folder: Path) -> None:
    for path in (folder, folder / "runs"):
        os.chown(path, UNKNOWN_USER, UNKNOWN_USER)


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(UNKNOWN_USER)
    os.setuid(UNKNOWN_USER)
    for name in ("HOME", "USER", "LOGNAME", "CONVLINE_CACHE"):
        os.environ.pop(name, None)


def _close_descriptors() -> None:
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    sys.stdin = sys.stdout = sys.stderr = None  # as Python itself begins then


def _set_clock_back() -> None:
    begin, clock = time.monotonic(), time.time
    time.time = lambda: clock() - (3600 if time.monotonic() - begin > 0.3 else 0)


if __name__ == "__main__":
    typer.run(command)
