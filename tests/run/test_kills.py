"""A run that gets a signal at a point of its work that has a name is, when resumed, the run that never got one.

`python scripts/hardening.py kills` does this by the hundred, at all points and at random times, with sweeps too.
"""

import signal
from pathlib import Path

import pytest

from convline.records.directory import read_summary
from hardening import points
from hardening.kill_kinds import KINDS, SMALL
from hardening.points import TRACE, Plan
from hardening.undisturbed import differences
from support.commands import Done, Running, run_dirs, train

WORDS = [*SMALL, "callbacks.checkpoint.every_n_steps=4", "steps_per_execution=2"]
# A point and how many of its name come before it, and the signals.
FAST = [
    ("open .last.tmp", 1, "KILL"),
    ("rename best.ckpt", 0, "KILL"),
    ("rename last.ckpt", 2, "KILL"),
    ("batch", 13, "TERM TERM"),
    ("remove heartbeat", 0, "INT"),
]
SLOW = [
    ("rename config.yaml", 0, "KILL"),
    ("open test_ledger.csv", 0, "KILL"),
    ("open .last.tmp", 2, "INT INT"),
    ("open summary.json.tmp", 0, "KILL"),
    ("rename summary.json", 1, "KILL"),
    ("rename environment.json", 0, "KILL"),
    ("rename metrics.csv", 1, "KILL"),
    ("open .best.tmp", 0, "KILL"),
    ("rename val.npz", 0, "KILL"),
    ("open event file", 0, "KILL"),
    ("rename summary.json", 2, "TERM"),
    ("rename last.ckpt", 3, "TERM KILL"),
    ("batch", 4, "INT INT INT"),
    ("batch", 15, "TERM TERM INT INT INT"),
    ("rename metrics.csv", 2, "INT"),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = command(folder, WORDS, Plan(str(folder)))
    assert done.status == 0, done.err
    return folder


def command(folder: Path, words: list[str], plan: Plan) -> Done:
    return Running(words, folder, environment={points.PLAN: plan.encode(), "TMPDIR": str(folder)}).wait()


@pytest.mark.parametrize(
    ("name", "before", "signals"), [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
def test_a_signal_at_a_named_point_loses_nothing(
    name: str, before: int, signals: str, tmp_path: Path, undisturbed: Path
) -> None:
    passed = (undisturbed / TRACE).read_text().split("\n")
    number = [index for index, point in enumerate(passed, 1) if point == name][before]
    names = tuple(signals.split())
    killed = command(tmp_path, WORDS, Plan(str(tmp_path), names, number, (1,) * (len(names) - 1)))
    expected = {-signal.SIGKILL} if "KILL" in names else {0, *(128 + signal.Signals[f"SIG{each}"] for each in names)}
    assert killed.status in expected, killed.err
    assert "Traceback" not in killed.out + killed.err
    begun = [path for path in run_dirs(tmp_path) if (path / "summary.json").exists()]
    resumed = train(tmp_path, *([f"resume={begun[0]}"] if begun else WORDS))
    assert resumed.status == 0, resumed.err
    assert read_summary(run_dirs(tmp_path)[-1])["status"] == "finished"
    num_lines = len((tmp_path / "runs" / "test_ledger.csv").read_text().splitlines()) - 1
    assert differences(KINDS["plain run"], undisturbed, tmp_path, num_lines, 0) == []
