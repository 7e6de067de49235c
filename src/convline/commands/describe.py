"""Summarize the network of a configuration for `convline describe`, without training and without data.

The summary of one configuration is its layer table. The summary of a sweep is a line for each combination.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from convline.config import expand_sweep, load_config
from convline.errors import UserError
from convline.formatting import shape_text
from convline.network.build import build_meta_network
from convline.network.diagram import draw as draw_diagram
from convline.network.summary import NetworkSummary, remarks
from convline.reporting.terminal import columns_that_fit, console

MIN_TEXT_WIDTH = 24  # of a column that is folded
LEFT_OUT = ("stride", "sees", "activations", "mult-adds")  # in this order, where they do not fit


def describe(overrides: Sequence[str], json_file: str | None = None, draw: Path | None = None) -> int:
    """Print the layer table of a network, or a line for each combination of a sweep.

    Args:
        overrides: overrides of a config, e.g. `["model=vgg16", "data=cifar10"]`; lists such as `model.N=1,2` and
            `range(3)` make a sweep.
        json_file: file for the numbers as JSON, one object, or a list of them for a sweep; "-" prints it instead of the
            table.
        draw: file for a diagram of the network as SVG.
    Returns:
        The exit status: 1 if a combination is impossible, else 0.
    Raises:
        UserError: an override is invalid, a file cannot be written, or the only network is impossible.
    """
    combinations = expand_sweep(overrides)
    if len(combinations) == 1:
        _describe_one(combinations[0], json_file, draw)
        return 0
    if draw is not None:
        raise UserError(f"--draw {draw} draws one network, but these settings choose {len(combinations)}")
    return _describe_sweep(overrides, combinations, json_file)


def layer_table(summary: NetworkSummary, title: str, width: int) -> Table:
    """Build the table of a network's layers for a terminal `width` characters wide."""
    rows = [["input", shape_text(summary.input_shape), "", "", "", "1", "1"]]
    for layer in summary.layers:
        rows.append(
            [
                layer.name,
                shape_text(layer.output_shape),
                f"{layer.parameters:,}" if layer.parameters else "",
                f"{layer.macs:,}" if layer.macs else "",
                _kib(layer.activation_bytes),
                "" if layer.receptive_field is None else str(layer.receptive_field),
                "" if layer.stride is None else f"{layer.stride:g}",
            ]
        )
    rows.append(["sum", "", f"{summary.parameters:,}", f"{summary.macs:,}", _kib(summary.activation_bytes), "", ""])
    names = ("layer", "output", "parameters", "mult-adds", "activations", "sees", "stride")
    table = _table(title, dict(zip(names, zip(*rows, strict=True), strict=True)), {"layer", "output"}, width)
    table.rows[-1].style = "bold"
    table.rows[-2].end_section = True
    return table


def _table(title: str, columns: dict[str, tuple[str, ...]], texts: set[str], width: int) -> Table:
    """Make a table of the columns that fit: those named in `texts` are folded, numbers are whole or left out."""
    widths = {name: max(map(len, (name, *cells))) for name, cells in columns.items()}
    needed = {name: min(widths[name], MIN_TEXT_WIDTH) if name in texts else widths[name] for name in columns}
    shown = columns_that_fit(needed, LEFT_OUT, width)
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in shown:
        is_text = name in texts
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for row in zip(*(columns[name] for name in shown), strict=True):
        table.add_row(*row)
    return table


def _describe_one(overrides: Sequence[str], json_file: str | None, draw: Path | None) -> None:
    cfg = load_config(overrides)
    network, summary = build_meta_network(cfg)
    title = " ".join(overrides) or "the default network"
    if json_file != "-":
        terminal = console()
        terminal.print(layer_table(summary, title, terminal.width))
        for remark in remarks(summary):
            terminal.print(f"- {remark}")
    _write_json(json_file, summary.to_dict())
    if draw is not None:
        _write(draw, draw_diagram(network, summary, title))


def _describe_sweep(overrides: Sequence[str], combinations: Sequence[Sequence[str]], json_file: str | None) -> int:
    """Print a line for each combination: sizes of its network, or the error if it is impossible."""
    rows: list[tuple[str, ...]] = []
    entries: list[dict[str, Any]] = []
    for combination in combinations:
        varied = " ".join(override for override in combination if override not in overrides)
        try:
            summary = build_meta_network(load_config(combination))[1]
        except UserError as error:
            problem = str(error).splitlines()[0].partition(";")[0]  # without the advice, which is for a single network
            rows.append((varied, "", "", "", f"impossible: {problem}"))
            entries.append({"overrides": list(combination), "error": str(error)})
        else:
            numbers = f"{summary.parameters:,}", f"{summary.macs:,}", _kib(summary.activation_bytes)
            rows.append((varied, *numbers, "possible"))
            entries.append({"overrides": list(combination), **summary.to_dict()})
    num_impossible = sum("error" in entry for entry in entries)
    if json_file != "-":
        names = ("combination", "parameters", "mult-adds", "activations", "")
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        terminal = console()
        table = _table(" ".join(overrides), columns, {"combination", ""}, terminal.width)
        for row, entry in zip(table.rows, entries, strict=True):
            row.style = "red" if "error" in entry else None
        terminal.print(table)
        if num_impossible:
            terminal.print(f"{num_impossible} of {len(entries)} combinations are impossible", style="red")
    _write_json(json_file, entries)
    return 1 if num_impossible else 0


def _kib(num_bytes: int) -> str:
    return f"{num_bytes / 1024:,.1f} KiB"


def _write_json(json_file: str | None, content: object) -> None:
    if json_file is None:
        return
    text = json.dumps(content, indent=2) + "\n"
    if json_file == "-":
        sys.stdout.write(text)
    else:
        _write(Path(json_file), text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
