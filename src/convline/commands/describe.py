"""`convline describe`: what a config's network is, before a second is spent on training. Needs no data on disk.

One configuration gives its layer table; a sweep gives one line for each combination, and marks the impossible ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from convline.config.compose import expand_sweep, load_config
from convline.errors import UserError
from convline.network.diagram import draw as drawing
from convline.network.from_config import meta_network
from convline.network.summary import NetworkSummary, remarks


def describe(overrides: Sequence[str], json_file: str | None = None, draw: Path | None = None) -> int:
    """Print the layer table of the network that some overrides choose, or a line for each of a sweep's combinations.

    Args:
        overrides: as for `python train.py`, e.g. `["model=vgg16", "data=cifar10"]`; lists such as `model.N=1,2` and
            `range(3)` make a sweep.
        json_file: where the figures go as JSON: one object, or a list of them for a sweep; "-" prints it and no table.
        draw: where the diagram goes as SVG.
    Returns:
        The exit status: 1 if a combination is impossible.
    Raises:
        UserError: a word is no setting, a file cannot be written, or the one network is impossible.
    """
    combinations = expand_sweep(overrides)
    if len(combinations) == 1:
        _describe_one(combinations[0], json_file, draw)
        return 0
    if draw is not None:
        raise UserError(f"--draw {draw} draws one network, but these settings choose {len(combinations)}")
    return _describe_sweep(overrides, combinations, json_file)


def grid(table: NetworkSummary, title: str) -> Grid:
    """The layer table for the terminal."""
    made = Grid(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    made.add_column("layer", no_wrap=True)
    made.add_column("output", no_wrap=True)
    for name in ("parameters", "mult-adds", "activations", "sees", "stride"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_row("input", _shape(table.input_shape), "", "", "", "1", "1")
    for layer in table.layers:
        made.add_row(
            layer.name,
            _shape(layer.output_shape),
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.macs:,}" if layer.macs else "",
            _kib(layer.activation_bytes),
            "" if layer.receptive_field is None else str(layer.receptive_field),
            "" if layer.stride is None else f"{layer.stride:g}",
        )
    made.add_section()
    made.add_row(
        "sum", "", f"{table.parameters:,}", f"{table.macs:,}", _kib(table.activation_bytes), "", "", style="bold"
    )
    return made


def _describe_one(overrides: Sequence[str], json_file: str | None, draw: Path | None) -> None:
    cfg = load_config(overrides)
    network, table = meta_network(cfg)
    title = " ".join(overrides) or "the default network"
    if json_file != "-":
        console = _console()
        console.print(grid(table, title))
        for remark in remarks(table):
            console.print(f"- {remark}", highlight=False)
    _write_json(json_file, table.to_dict())
    if draw is not None:
        _write(draw, drawing(network, table, title))


def _describe_sweep(overrides: Sequence[str], combinations: Sequence[Sequence[str]], json_file: str | None) -> int:
    """One line for each combination: its figures, or why it is impossible."""
    made = Grid(title=" ".join(overrides), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in ("combination", "parameters", "mult-adds", "activations"):
        made.add_column(name, justify="left" if name == "combination" else "right", no_wrap=True)
    made.add_column("")
    found: list[dict[str, Any]] = []
    for combination in combinations:
        varied = " ".join(word for word in combination if word not in overrides)
        try:
            table = meta_network(load_config(combination))[1]
        except UserError as error:
            problem = str(error).splitlines()[0].partition(";")[0]  # what to type instead is for one network
            made.add_row(varied, "", "", "", f"impossible: {problem}", style="red")
            found.append({"overrides": list(combination), "error": str(error)})
        else:
            figures = f"{table.parameters:,}", f"{table.macs:,}", _kib(table.activation_bytes)
            made.add_row(varied, *figures, "possible")
            found.append({"overrides": list(combination), **table.to_dict()})
    num_impossible = sum("error" in entry for entry in found)
    if json_file != "-":
        console = _console()
        console.print(made)
        if num_impossible:
            console.print(f"{num_impossible} of {len(found)} combinations are impossible", style="red", highlight=False)
    _write_json(json_file, found)
    return 1 if num_impossible else 0


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160, markup=False)


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _kib(num_bytes: int) -> str:
    return f"{num_bytes / 1024:,.1f} KiB"


def _write_json(json_file: str | None, figures: object) -> None:
    if json_file is None:
        return
    text = json.dumps(figures, indent=2) + "\n"
    if json_file == "-":
        sys.stdout.write(text)
    else:
        _write(Path(json_file), text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
