"""Convert the rows of a report table to text, which the terminal, Markdown and the page show."""

import math
from collections import Counter

from convline.config.metrics import is_share
from convline.formatting import count_text, duration, plural, setting_text
from convline.records.directory import UNKNOWN_DATA
from convline.reporting.configurations import Configuration, ReportTable
from convline.reporting.metric_text import (
    interval_over_images,
    mean_and_spread,
    name_with_unit,
    value_text,
    value_with_unit,
)
from convline.reporting.run_records import RunRecord, seconds_since_written
from convline.reporting.statistics import Sample

SKEWED = 1 / 3  # of the distance to 0 or 100 %; with a larger spread, Student's interval errs (docs/statistics.md)


def column_names(table: ReportTable) -> list[str]:
    """List the names of the columns: rank, varying settings, metrics, costs."""
    results = [name_with_unit(metric) for metric in table.shown_metrics]
    return ["#", *table.columns.values(), *results, "runs", "time", "parameters", "MACs"]


def cells(table: ReportTable, row: Configuration, rank: int) -> list[str]:
    """Format the cells of one row, in the order of `column_names`."""
    return [str(rank), *(setting_text(row.value(key)) for key in table.columns), *_result_cells(table, row)]


def _result_cells(table: ReportTable, row: Configuration) -> list[str]:
    """Format the cells after the settings; the time is the mean over runs."""
    return [
        *(mean_and_spread(name, row.sample(name)) for name in table.shown_metrics),
        status_text(row),
        duration(row.mean("seconds")),
        count_text(row.mean("parameters")),
        count_text(row.mean("macs")),
    ]


def status_text(row: Configuration) -> str:
    """Format the number of finished runs: "5", or "4 of 5"."""
    return f"{len(row.runs)} of {len(row.runs) + len(row.others)}" if row.others else str(len(row.runs))


def unfinished_reason(run: RunRecord) -> str:
    """Explain why a run is not finished: its error, or its last epoch."""
    if run.error:
        return run.error
    parts = []
    if run.epochs:
        last_epoch = run.epochs[-1]
        value = value_with_unit(run.monitor, last_epoch.get(run.monitor, math.nan))
        parts.append(f"after epoch {last_epoch['epoch']:g}: {run.monitor} {value}")
    if run.status == "running" and not math.isnan(seconds := seconds_since_written(run)):
        parts.append(f"last sign of life {duration(max(seconds, 0))} before this report")
    return ", ".join(parts)


def remarks(table: ReportTable) -> list[str]:
    """Write the sentences under a table: meaning of its numbers, intervals, repeated runs, test-set evaluations."""
    sentences = []
    if any(row.sample(table.metric).n > 1 for row in table.rows):
        sentences.append("Mean ± sample standard deviation over seeds (number of seeds); time is that of one run.")
    if len(table.measured_rows) == 1 and table.measured_rows[0].sample(table.metric).n > 1:
        row = table.measured_rows[0]
        both = (table.metric, table.test_metric)
        sentences += [_interval(metric, row.sample(metric)) for metric in both if row.sample(metric).n > 1]
    if table.measured_rows and (sentence := interval_of_images(table.measured_rows[0], table.test_metric)):
        sentences.append(f"{'Of the first row, ' if len(table.rows) > 1 else ''}{sentence}.")
    if repeats := sum(len(row.repeats) for row in table.rows):
        sentences.append(
            f"Left out: {plural(repeats, 'run')} with the same configuration, code and seed as a newer one."
        )
    runs = [*(run for row in table.rows for run in row.runs), *table.unfinished]
    if hosts := Counter(run.host for run in runs if run.host):
        parts = [f"{count} on {host}" for host, count in sorted(hosts.items())]
        sentences.append(
            f"Trained in other folders, and shown from the study: {plural(hosts.total(), 'run')}, {', '.join(parts)}."
        )
    if table.data == UNKNOWN_DATA:
        return sentences
    if table.num_test_evaluations:
        sentences.append(f"The test set of {table.data} was evaluated {plural(table.num_test_evaluations, 'time')}.")
    else:
        sentences.append(f"No evaluation on the test set of {table.data} is recorded.")
    return sentences


def interval_of_images(row: Configuration, metric: str) -> str:
    """Write between what limits an accuracy lies on other images of the kind; empty if that is not known."""
    num_images, sample = row.num_images(metric), row.sample(metric)
    if num_images is None or not sample.n:
        return ""
    limits = interval_over_images(sample.mean, num_images)
    return f"{metric} on other images of the kind lies, with 95 % confidence, within {limits} ({num_images:,} images)"


def _interval(metric: str, sample: Sample) -> str:
    mean = value_with_unit(metric, sample.mean)
    if not sample.has_spread:
        return f"{metric} is {mean} with every seed, so that nothing tells how far the mean over many seeds is from it."
    low, high = sample.interval
    note = ""
    if is_share(metric):  # the interval of few seeds is wide, but no accuracy lies outside of these
        low, high = max(low, 0.0), min(high, 1.0)
        if sample.sd > SKEWED * min(sample.mean, 1 - sample.mean):
            note = " So near the end of the scale, seeds scatter unevenly, and this holds in about 9 of 10 cases only."
    between = f"between {value_text(metric, low)} and {value_with_unit(metric, high)}"
    return f"{metric} is {mean}; the mean over many seeds lies, with 95 % confidence, {between}.{note}"
