"""The counts of `scripts/hardening.py`, without its thousands of cases."""

import io

from rich.console import Console

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
