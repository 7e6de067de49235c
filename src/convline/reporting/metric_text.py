"""Format metrics as text, equally for the terminal, Markdown and the page."""

import math

from convline.config.metrics import is_share
from convline.formatting import UNKNOWN
from convline.reporting.statistics import Sample, share_interval


def name_with_unit(metric: str) -> str:
    """Append the unit to the name of a metric: "val/acc %"."""
    return f"{metric} %" if is_share(metric) else metric


def value_text(metric: str, value: float) -> str:
    """Format an accuracy in per cent with two decimals, any other metric with four."""
    if math.isnan(value):
        return UNKNOWN
    return f"{100 * value:.2f}" if is_share(metric) else f"{value:.4f}"


def value_with_unit(metric: str, value: float) -> str:
    """Format a value with its unit: "98.95 %"."""
    return value_text(metric, value) + (" %" if is_share(metric) and not math.isnan(value) else "")


def mean_and_spread(metric: str, sample: Sample) -> str:
    """Format mean ± sample standard deviation (n): "98.95 ± 0.12 (5)"; the mean alone for one seed."""
    if sample.n < 2:
        return value_text(metric, sample.mean)
    return f"{value_text(metric, sample.mean)} ± {value_text(metric, sample.sd)} ({sample.n})"


def signed_text(metric: str, difference: float, unit: bool = False) -> str:
    """Format a difference of two values of a metric: "+0.53"; with `unit`, "+0.53 points" for an accuracy."""
    text = f"{100 * difference:+.2f}" if is_share(metric) else f"{difference:+.4f}"
    return f"{text} points" if unit and is_share(metric) else text


def interval_over_images(share: float, num_images: int) -> str:
    """Format the 95 % interval of an accuracy over other images: "98.66 to 99.08 %"."""
    low, high = share_interval(share, num_images)
    return f"{100 * low:.2f} to {100 * high:.2f} %"
