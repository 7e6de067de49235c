"""Kill runs and sweeps at named points and at random times, resume them, and compare them with undisturbed ones.

After every kill, the command that the message names is typed; after the last one, until the run or sweep has ended. It
must then be what the undisturbed one is: weights bit for bit, metrics.csv but for times, each job once, the test
evaluation log exact, no process and no temporary file left, no traceback printed.
"""

import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hardening.commands import Ended, orphans, preload, run
from hardening.kill_kinds import KINDS, Kind
from hardening.points import Plan, processes_of, send_signal
from hardening.undisturbed import differences

SIGNALS = (
    *[("KILL",)] * 6,
    *[("TERM",), ("INT",)] * 3,
    ("TERM", "TERM"),
    ("INT", "INT"),
    ("TERM", "INT"),
    ("TERM", "TERM", "TERM"),
    ("INT", "INT", "INT"),
    ("TERM", "KILL"),
    ("INT", "KILL"),
    ("TERM", "TERM", "INT", "INT", "INT"),
)
MAX_KILLS = 12  # of one run or sweep: a resumed run starts in half the time of a new one
RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Reference:
    """Hold an undisturbed run or sweep.

    Args:
        folder: its folder.
        seconds: how long it took.
        points: names of its points, in order.
        later: those of a command that goes on with one that was killed.
    """

    folder: Path
    seconds: float
    points: tuple[str, ...]
    later: tuple[str, ...]


def command(
    kills: Annotated[int, typer.Option(help="number of kills")] = 100,
    processes: Annotated[int, typer.Option(help="scenarios at a time")] = 1,
    kinds: Annotated[str, typer.Option(help="kinds, separated by commas; all if empty")] = "",
    seed: Annotated[int, typer.Option(help="decides points and signals")] = 0,
    minutes: Annotated[float, typer.Option(help="begin no further scenario after so long")] = 1e9,
    folder: Annotated[Path, typer.Option(help="keeps the results, and what was lost")] = Path("runs/kills"),
) -> None:
    """Kill runs and sweeps, resume them, and exit with 1 if anything was lost."""
    chosen = {name: kind for name, kind in KINDS.items() if not kinds or name in kinds.split(",")}
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    preload()
    end = time.monotonic() + 60 * minutes
    children = []
    for index in range(processes):
        pid = os.fork()
        if pid == 0:
            _work(chosen, folder, f"{seed}-{index}", kills, end)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    sys.exit(1 if print_table(folder / RESULTS) else 0)


def _work(kinds: dict[str, Kind], folder: Path, name: str, kills: int, end: float) -> None:
    """Kill until there are as many kills as wanted, with those of the other processes; then exit."""
    from hardening.commands import adopt_orphans

    adopt_orphans()
    draws = random.Random(name)
    home = folder / f"process-{name}"
    references: dict[str, Reference] = {}
    count = 0
    status = 0
    try:
        while _num_kills(folder / RESULTS) < kills and time.monotonic() < end:
            count += 1
            kind = draws.choices(list(kinds), [max(1, kind.weight) for kind in kinds.values()])[0]
            if kind not in references:
                references[kind] = _undisturbed(kinds[kind], home / f"reference-{len(references)}")
            scenario = home / f"{count:04d}"
            records, later = kill_and_resume(kind, kinds[kind], scenario, references[kind], draws)
            reference = references[kind]
            references[kind] = replace(reference, later=later or reference.later)
            with open(folder / RESULTS, "a") as file:
                file.write("".join(json.dumps(record) + "\n" for record in records))
            if not any(record["losses"] for record in records):
                shutil.rmtree(scenario)
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 2
    os._exit(status)


def _num_kills(results: Path) -> int:
    return len(results.read_text().splitlines()) if results.exists() else 0


def _undisturbed(kind: Kind, folder: Path) -> Reference:
    """Run a kind once without a signal."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begin = time.monotonic()
    done = run(list(kind.words), Plan(str(folder)))
    if done.status or (left := orphans()):
        raise RuntimeError(f"{kind.words} ends with {done.status}, {left if not done.status else ''}:\n{done.text}")
    return Reference(folder, time.monotonic() - begin, done.points, done.points)


def kill_and_resume(
    name: str, kind: Kind, folder: Path, reference: Reference, draws: random.Random
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Kill one run or sweep a few times, resume it to its end, and compare.

    Returns:
        A record for each kill: its kind, signals and point, and what was lost, which the last one has; and the points
        of the command that went on to the end.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = list(kind.words)
    records: list[dict[str, Any]] = []
    losses: list[str] = []
    num_logged = 0
    for _ in range(draws.randint(1, MAX_KILLS)):
        signals = draws.choice(SIGNALS)
        points = reference.later if records else reference.points
        done, point = _killed(words, kind, folder, signals, points, reference.seconds, draws)
        num_logged += done.points.count("open test_ledger.csv")
        losses += _losses_of_output(done, signals, kind, bool(point))
        if not point:
            break  # the command was quicker
        records.append(
            {"kind": name, "signals": "+".join(signals), "point": point, "status": done.status, "losses": []}
        )
        words = _next_words(words, kind, folder, done)
        if done.has_hung:
            break
    for attempt in range(3 if records else 0):
        done = run(words, Plan(str(folder)))
        num_logged += done.points.count("open test_ledger.csv")
        losses += _losses_of_output(done, (), kind, False)
        if done.status == 0:
            break
        losses.append(f"attempt {attempt + 1} to go on ends with {done.status}: {done.text[-600:]}")
        words = _next_words(words, kind, folder, done)
    losses += [f"process left: {line}" for line in orphans()]
    losses += differences(kind, reference.folder, folder, num_logged, len(records))
    if not records:
        records = (
            [{"kind": name, "signals": "none", "point": "", "status": done.status, "losses": []}] if losses else []
        )
    if records:
        records[-1]["losses"] = losses
        records[-1]["folder"] = str(folder) if losses else ""
    return records, done.points if records else ()


def _killed(
    words: list[str],
    kind: Kind,
    folder: Path,
    signals: tuple[str, ...],
    names: tuple[str, ...],
    seconds: float,
    draws: random.Random,
) -> tuple[Ended, str]:
    """Run a command that gets signals; return how it has ended, and the point, "" if it had ended before."""
    if draws.random() < 0.25 or not names:  # at a random time, from outside
        times = [draws.uniform(0, seconds)]
        for _ in signals[1:]:
            times.append(times[-1] + draws.choice((0.0, 0.01, 0.1, 0.3)))
        target = draws.choice(("main", "main", "group", "all"))
        sent: list[str] = []
        begin = time.monotonic()

        def interrupt(pid: int) -> bool:
            while len(sent) < len(signals) and time.monotonic() - begin >= times[len(sent)]:
                pids = [pid] if target == "main" else processes_of(pid, with_descendants=target == "all")
                for process in pids:
                    send_signal(process, _number(signals[len(sent)]))
                sent.append(signals[len(sent)])
            return len(sent) == len(signals)

        done = run(words, Plan(str(folder)), interrupt=interrupt)
        return done, f"random time, {target}" if sent else ""
    in_children = kind.has_children and draws.random() < 0.5
    if in_children:
        point = draws.randint(1, 25)
    else:  # every name alike, so that rare points are as frequent as batches
        chosen = draws.choice(sorted(set(names)))
        point = draws.choice([index for index, name in enumerate(names, 1) if name == chosen])
    plan = Plan(
        str(folder),
        signals,
        point,
        tuple(draws.choice((0, 1, 1, 2, 5)) for _ in signals[1:]),
        draws.choice((0.0, 0.0, 0.0002, 0.001, 0.01, 0.1)),
        draws.choice(("self", "self", "main", "group", "all")),
        in_children,
    )
    done = run(words, plan)
    return done, f"{done.point}, {plan.target}{', in a child' if in_children else ''}" if done.point else ""


def _number(name: str) -> int:
    import signal

    return signal.Signals[f"SIG{name}"]


def _losses_of_output(done: Ended, signals: tuple[str, ...], kind: Kind, was_sent: bool) -> list[str]:
    losses = []
    if done.has_hung:
        losses.append(f"it hung after {signals}: {done.text[-600:]}")
    if "Traceback" in done.text or "Exception ignored" in done.text:
        losses.append(f"a traceback after {signals}: {done.text[-6000:]}")
    if was_sent and not done.has_hung:
        expected = {0, *(sign * _number(name) + (128 if sign > 0 else 0) for name in signals for sign in (1, -1))}
        may_fail = kind.has_children and "KILL" in signals  # a killed worker or rank is an error of the run
        if done.status not in expected and not (may_fail and done.status == 1):
            losses.append(f"status {done.status} after {signals}: {done.text[-600:]}")
    return losses


def _next_words(words: list[str], kind: Kind, folder: Path, done: Ended) -> list[str]:
    """Return what a user would type next: what the message names, or else the run, or the same command again."""
    if done.hint:
        return done.hint
    if kind.is_sweep or "resume=auto" in words:
        return words
    runs = [path.parent for path in folder.glob("runs/*/summary.json")]
    return [f"resume={runs[0].relative_to(folder)}"] if runs else list(kind.words)


def print_table(results: Path) -> int:
    """Print a table of kinds, signals, counts and losses; return the number of losses."""
    records = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    records = [record for record in records if record["signals"] != "none" or record["losses"]]
    columns = ("KILL", "TERM", "INT", "several")
    counts: Counter[tuple[str, str]] = Counter()
    losses: Counter[str] = Counter()
    for record in records:
        column = record["signals"] if record["signals"] in columns else "several"
        counts[record["kind"], column] += 1
        losses[record["kind"]] += bool(record["losses"])
    print("| kind | " + " | ".join(columns) + " | kills | losses |\n|---|" + "---:|" * (len(columns) + 2))
    for kind in [*dict.fromkeys(record["kind"] for record in records)]:
        row = [counts[kind, column] for column in columns]
        print(f"| {kind} | " + " | ".join(map(str, [*row, sum(row), losses[kind]])) + " |")
    row = [sum(counts[kind, column] for kind in losses) for column in columns]
    print("| all | " + " | ".join(map(str, [*row, sum(row), sum(losses.values())])) + " |")
    points = Counter(record["point"].partition(",")[0] for record in records)
    print("\npoints: " + ", ".join(f"{name} {count}" for name, count in points.most_common()))
    for record in records:
        if record["losses"]:
            print(f"\n{record['kind']}, {record['signals']} at {record['point']} ({record.get('folder')}):")
            for loss in record["losses"]:
                print("  " + loss.replace("\n", "\n    "))
    return sum(losses.values())


if __name__ == "__main__":
    typer.run(command)
