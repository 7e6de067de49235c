"""Compare a run or sweep that was disturbed with one that was not."""

import csv
import json
from pathlib import Path

import torch

from hardening.kill_kinds import Kind

TIMES = ("images/s", "seconds/epoch")  # columns of metrics.csv that differ each time


def differences(kind: Kind, reference: Path, folder: Path, num_logged: int, num_kills: int) -> list[str]:
    """Return what differs between an undisturbed run or sweep and one that was killed and resumed.

    Args:
        kind: its kind.
        reference: folder in which the undisturbed one ran.
        folder: folder in which the other one ran.
        num_logged: how often the test evaluation log was opened to add a line.
        num_kills: how often it was killed.
    """
    expected, found = _runs(reference), _runs(folder)
    losses = []
    if len(found) != kind.num_runs or (kind.is_sweep and kind.is_exact and found.keys() != expected.keys()):
        losses.append(f"runs {sorted(found)} instead of {sorted(expected)}")
    for path in found.values():
        status = json.loads((path / "summary.json").read_text())["status"]
        if status not in ("finished", "pruned"):
            losses.append(f"{path.name} is {status}")
    if not losses and kind.is_exact:  # the name of a single run has a time
        for one, other in zip(expected.values(), found.values(), strict=True):
            losses += [f"{other.name}: other {what}" for what in _different_results(one, other)]
    losses += [f"left behind: {path}" for path in sorted(_names(folder) - _names(reference))]
    for path in folder.glob("runs/**/log.txt"):
        if "Traceback" in (text := path.read_text()):
            losses.append(f"a traceback in {path.parent.name}/log.txt: {text[-1500:]}")
    return losses + _losses_of_log(reference, folder, num_logged, num_kills)


def _different_results(one: Path, other: Path) -> list[str]:
    """Name the results in which two run directories differ."""
    different = [name for name, read in (("metrics", _metrics), ("curves", _curves)) if read(one) != read(other)]
    for name in ("last", "best"):
        left, right = (
            torch.load(path / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"] for path in (one, other)
        )
        if left.keys() != right.keys() or not all(torch.equal(left[key], right[key]) for key in left):
            different.append(f"weights in {name}.ckpt")
    return different


def _losses_of_log(reference: Path, folder: Path, num_logged: int, num_kills: int) -> list[str]:
    """Compare the test evaluation log with the evaluations: a line each, but for one at whose line a kill came."""
    expected, lines = (
        list(csv.reader((path / "runs/test_ledger.csv").open(newline=""))) for path in (reference, folder)
    )
    num_lines = len(lines) - 1
    if lines[0] != expected[0] or any(len(line) != len(lines[0]) for line in lines):
        return [f"the test evaluation log has damaged lines: {lines}"]
    if not (len(expected) <= len(lines) and num_logged - num_kills <= num_lines <= num_logged):
        return [f"the test evaluation log has {num_lines} lines, for {num_logged} evaluations"]
    return []


def _names(folder: Path) -> set[str]:
    """Return the names of all files below the runs, without what differs each time: the names of runs and of events.

    A run that was killed before it had a summary has not begun; its directory does not count.
    """
    root = folder / "runs"
    unbegun = [path for path in root.iterdir() if path.is_dir() and not any(path.rglob("summary.json"))]
    paths = [path for path in root.rglob("*") if not path.is_dir() and not any(map(path.is_relative_to, unbegun))]
    kept = [path.relative_to(root) for path in paths if not path.name.startswith("events.out")]
    temporary = {path.name for path in folder.iterdir() if path.name.startswith(("tmp", "convline_ranks"))}
    return {"/".join(path.parts[1:]) or path.name for path in kept} | temporary


def _runs(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in sorted((folder / "runs").glob("**/summary.json"))}


def _metrics(run_dir: Path) -> dict[str, float]:
    return json.loads((run_dir / "summary.json").read_text()).get("metrics", {})


def _curves(run_dir: Path) -> list[dict[str, str]]:
    with open(run_dir / "metrics.csv", newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]
