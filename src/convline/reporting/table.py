"""A table as lines of text: what the terminal, Markdown and the page all show."""

import math

from convline.records.directory import UNKNOWN_DATA
from convline.reporting.configurations import Configuration, Table
from convline.reporting.metric_text import count, duration, figure, folded, head, is_share, plural, show, with_unit
from convline.reporting.run_records import Run, sign_of_life


def heads(table: Table) -> list[str]:
    """The columns' names: rank, settings that differ, figures."""
    figures = [head(table.metric), head(table.test_metric), "runs", "time", "parameters", "MACs"]
    return ["#", *table.columns.values(), *figures]


def cells(table: Table, row: Configuration, rank: int) -> list[str]:
    """One row, in the order of `heads`."""
    return [str(rank), *(show(row.value(key)) for key in table.columns), *figures(table, row)]


def figures(table: Table, row: Configuration) -> list[str]:
    """The cells after the settings; the time is a run's."""
    return [
        folded(table.metric, row.sample(table.metric)),
        folded(table.test_metric, row.sample(table.test_metric)),
        status_text(row),
        duration(row.mean("seconds")),
        count(row.mean("parameters")),
        count(row.mean("macs")),
    ]


def status_text(row: Configuration) -> str:
    """How many runs are finished: "5", or "4 of 5"."""
    return f"{len(row.runs)} of {len(row.runs) + len(row.others)}" if row.others else str(len(row.runs))


def why(run: Run) -> str:
    """What is known of a run that is not finished: its error, or how far it is."""
    if run.error:
        return run.error
    parts = []
    if run.epochs:
        last = run.epochs[-1]
        value = with_unit(run.monitor, last.get(run.monitor, math.nan))
        parts.append(f"after epoch {last['epoch']:g}: {run.monitor} {value}")
    if run.status == "running" and not math.isnan(age := sign_of_life(run)):
        parts.append(f"last sign of life {duration(max(age, 0))} before this report")
    return ", ".join(parts)


def remarks(table: Table) -> list[str]:
    """Sentences that belong under the table: what the figures are, intervals, repeated runs, looks at the test set."""
    found = []
    if any(row.sample(table.metric).n > 1 for row in table.rows):
        found.append("Mean ± sample standard deviation over seeds (number of seeds); time is that of one run.")
    if len(table.measured) == 1 and table.measured[0].sample(table.metric).n > 1:
        found += [_interval(table.measured[0], metric) for metric in (table.metric, table.test_metric)]
    if repeats := sum(len(row.repeats) for row in table.rows):
        found.append(f"Left out: {plural(repeats, 'run')} with the same configuration, code and seed as a newer one.")
    if table.data == UNKNOWN_DATA:
        return found
    if table.looks:
        found.append(f"The test set of {table.data} was looked at {plural(table.looks, 'time')}.")
    else:
        found.append(f"No look at the test set of {table.data} is recorded.")
    return found


def _interval(row: Configuration, metric: str) -> str:
    low, high = row.sample(metric).interval
    if is_share(metric):  # the interval of few seeds is wide, but no accuracy lies outside of these
        low, high = max(low, 0.0), min(high, 1.0)
    mean = with_unit(metric, row.sample(metric).mean)
    between = f"between {figure(metric, low)} and {with_unit(metric, high)}"
    return f"{metric} is {mean}; the mean over many seeds lies, with 95 % confidence, {between}."
