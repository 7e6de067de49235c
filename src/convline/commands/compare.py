"""Compare groups of runs, and confirm what a choice among many has found by fresh seeds, for `convline compare`."""

from collections.abc import Sequence
from pathlib import Path

from convline.reporting import compare
from convline.reporting.comparison import AGAINST


def compare_and_confirm(
    arguments: Sequence[str], by: str | None, split: str, metric: str, json_file: Path | None, num_seeds: int
) -> None:
    """Compare groups of runs; then train their configurations again with fresh seeds, and compare those runs alone.

    Args:
        arguments, by, split, metric, json_file: see `convline.reporting.compare`; the file gets the second comparison.
        num_seeds: number of fresh seeds; 0: no second comparison.
    Raises:
        Interrupted: Ctrl-C or SIGTERM came while it trained.
        UserError: the groups cannot be compared or trained.
    """
    groups = compare(arguments, by, split, metric, None if num_seeds else json_file, without_confirming=num_seeds > 0)
    if not num_seeds:
        return
    from convline.sweeps.confirm import train_with_fresh_seeds

    print(flush=True)
    sides = train_with_fresh_seeds(groups, num_seeds)
    words = [word for side in sides for word in (AGAINST, *map(str, side))]
    print("\nfresh seeds alone\n")
    compare(words[1:], None, split, metric, json_file)
