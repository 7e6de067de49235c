"""Format metrics as text, the same on the terminal, in Markdown and on the page."""

import math
from typing import Any

from convline.reporting.statistics import Sample

UNKNOWN = "–"


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


def count(number: float) -> str:
    """Format parameters or MACs: in full below a million, then with three digits and M, G or T."""
    if math.isnan(number):
        return UNKNOWN
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Format a time: "17.5 s", "3 min 20 s", "2 h 5 min"."""
    if math.isnan(seconds):
        return UNKNOWN
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def show(value: Any) -> str:
    """Format the value of a setting: numbers with four digits, `null` and `true` as in YAML, texts on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(map(show, value))}]"
    return " ".join(str(value).split())


def shortened(text: str, length: int = 40) -> str:
    """Shorten a text in its middle, where long patterns differ least."""
    if len(text) <= length:
        return text
    kept = length - 1
    return f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}"


def plural(number: int, singular: str, several: str = "") -> str:
    """Format a number with its noun: "1 run", "1,024 runs"."""
    return f"{number:,} {singular if number == 1 else several or singular + 's'}"


def signed(metric: str, difference: float, unit: bool = False) -> str:
    """Format a difference of two metrics: "+0.53", or "+0.53 points" for per cent."""
    text = f"{100 * difference:+.2f}" if is_share(metric) else f"{difference:+.4f}"
    return f"{text} points" if unit and is_share(metric) else text
