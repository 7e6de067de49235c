"""Format metrics as text, the same on the terminal, in Markdown and on the page."""

import math

from convline.formatting import UNKNOWN
from convline.reporting.statistics import Sample


def lower_is_better(metric: str) -> bool:
    """Return whether a lower value of the metric is better: it is a loss."""
    return metric.endswith("loss")


def is_share(metric: str) -> bool:
    """Return whether the metric is an accuracy, which is shown in per cent."""
    return metric.endswith("acc")


def head(metric: str) -> str:
    """Return the name of a metric with its unit: "val/acc %"."""
    return f"{metric} %" if is_share(metric) else metric


def figure(metric: str, value: float) -> str:
    """Format an accuracy in per cent with two decimals, any other metric with four."""
    if math.isnan(value):
        return UNKNOWN
    return f"{100 * value:.2f}" if is_share(metric) else f"{value:.4f}"


def with_unit(metric: str, value: float) -> str:
    """Format a value with its unit: "98.95 %"."""
    return figure(metric, value) + (" %" if is_share(metric) and not math.isnan(value) else "")


def mean_and_spread(metric: str, sample: Sample) -> str:
    """Format mean ± sample standard deviation (n): "98.95 ± 0.12 (5)"; the mean alone for one seed."""
    if sample.n < 2:
        return figure(metric, sample.mean)
    return f"{figure(metric, sample.mean)} ± {figure(metric, sample.sd)} ({sample.n})"


def signed(metric: str, difference: float, unit: bool = False) -> str:
    """Format a difference of two metrics: "+0.53", or "+0.53 points" for per cent."""
    text = f"{100 * difference:+.2f}" if is_share(metric) else f"{difference:+.4f}"
    return f"{text} points" if unit and is_share(metric) else text
