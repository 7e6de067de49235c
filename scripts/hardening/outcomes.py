"""Count how tried cases ended, and print the counts and the failures by kind."""

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console

SHOWN_CASES = 3  # cases that are printed of each kind of failure


class Outcome(StrEnum):
    """List how a case can end; the last three are failures."""

    REFUSED = "refused"  # with a message on one screen
    ACCEPTED = "accepted"
    TRACEBACK = "traceback"
    HANG = "hang"
    CRASH = "crash"  # the process died


FAILURES = (Outcome.TRACEBACK, Outcome.HANG, Outcome.CRASH)


@dataclass(frozen=True)
class Result:
    """Hold how one case ended.

    Args:
        case: what was tried, as one would type it.
        outcome: how it ended.
        kind: what failures are grouped by, such as the error and the line that raised it; "" unless it is a failure.
        detail: the message or the traceback.
    """

    case: str
    outcome: Outcome
    kind: str = ""
    detail: str = ""


def show(results: list[Result], console: Console) -> int:
    """Print the failures by kind, the most frequent first, and the counts.

    Returns:
        The exit status: 1 if there is any failure.
    """
    by_kind: defaultdict[tuple[Outcome, str], list[Result]] = defaultdict(list)
    for result in results:
        if result.outcome in FAILURES:
            by_kind[result.outcome, result.kind].append(result)
    for (outcome, kind), failed in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        lines = [f"{outcome} × {len(failed)}: {kind}", *(f"    {result.case[:200]}" for result in failed[:SHOWN_CASES])]
        console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    counts = {outcome: sum(result.outcome is outcome for result in results) for outcome in Outcome}
    line = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
    console.print(f"{len(results):,} cases: {line}", highlight=False, markup=False, soft_wrap=True)
    return int(bool(by_kind))
