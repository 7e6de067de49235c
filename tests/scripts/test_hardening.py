"""The counts of `scripts/hardening.py`, without its thousands of cases."""

import io
import shlex
from pathlib import Path

from rich.console import Console

from hardening import bad_values, settings
from hardening.outcomes import Outcome, Result, show


def _shown(*results: Result) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200)
    status = show(list(results), console)
    return status, console.file.getvalue()


def test_refused_and_accepted_cases_are_counted():
    status, text = _shown(Result("seed=-1", Outcome.REFUSED), Result("seed=1", Outcome.ACCEPTED))
    assert status == 0
    assert text == "2 cases: 1 refused, 1 accepted, 0 traceback, 0 hang, 0 crash\n"


def test_failures_are_grouped_by_kind_and_give_status_1():
    failed = [Result(f"seed={value}", Outcome.TRACEBACK, "ValueError in load.py") for value in range(5)]
    status, text = _shown(*failed, Result("threads=9", Outcome.HANG, "after 20 s"))
    assert status == 1
    assert "traceback × 5: ValueError in load.py\n    seed=0\n    seed=1\n    seed=2\nhang × 1" in text


def test_odd_words_are_command_lines() -> None:
    lines = Path(bad_values.__file__).with_name("odd_words.txt").read_text().splitlines()
    assert len([shlex.split(line) for line in lines]) > 200


def _classified(tmp_path: Path, err: str, status: int) -> Outcome:
    (tmp_path / "err").write_text(err)
    return settings.classified(("seed=-1",), tmp_path, status, is_late=False).outcome


def test_how_a_case_of_settings_ended_is_told_from_what_it_printed(tmp_path: Path) -> None:
    assert _classified(tmp_path, "error: seed=-1 is out of range", 1) is Outcome.REFUSED
    assert _classified(tmp_path, "", settings.REACHED) is Outcome.ACCEPTED
    assert _classified(tmp_path, "Traceback (most recent call last):\nValueError: 5", 1) is Outcome.TRACEBACK
    assert _classified(tmp_path, "Timeout (0:01:00)!\n", 1) is Outcome.HANG
    assert _classified(tmp_path, "", -11) is Outcome.CRASH
    assert _classified(tmp_path, "error: \n" + "line\n" * 40, 1) is Outcome.TRACEBACK  # more than a screen
    assert _classified(tmp_path, "", 1) is Outcome.TRACEBACK  # no message
