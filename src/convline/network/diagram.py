"""A network as a drawing: SVG text, without any library.

Each layer with a size of its own is a slab, as high as its map and as wide as its channels (both on a root scale);
what follows without changing the shape (norms, activations, dropout) is written below it. Stages and blocks are frames,
forks run side by side, and neighbours that look the same are drawn once with a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from torch import nn

from convline.formatting import shape_text
from convline.network import measures
from convline.network.layers import Add, Concat
from convline.network.summary import LayerSummary, NetworkSummary

MAX_ROW_WIDTH = 1500  # pixels of a row before the drawing goes on below
CHAR, LINE, GAP, PAD = 6.3, 14, 26, 12  # of a letter, a line of text, an arrow, the space inside of a frame

COLORS = {
    "conv": "#4c78a8",
    "local": "#b279a2",
    "dense": "#f58518",
    "pool": "#54a24b",
    "resize": "#9d9d9d",
    "other": "#72b7b2",
}


@dataclass(frozen=True)
class Slab:
    """One layer; `notes` are the layers after it that keep its shape, `count` how often it stands there."""

    kind: str
    title: str
    detail: str
    shape: tuple[int, ...]
    notes: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Frame:
    """A stage or a block."""

    title: str
    parts: tuple[Part, ...]
    count: int = 1


@dataclass(frozen=True)
class Branches:
    """A fork: `sign` says how its branches meet, `notes` what follows and keeps the shape."""

    sign: str
    branches: tuple[tuple[Part, ...], ...]
    notes: tuple[str, ...] = ()
    count: int = 1


Part = Slab | Frame | Branches


def draw(network: nn.Module, table: NetworkSummary, title: str = "") -> str:
    """A network's diagram.

    Args:
        network: the network, on any device.
        table: its `summarize`.
        title: written at the top.
    Returns:
        The text of an SVG file.
    """
    rows = {layer.name: layer for layer in table.layers}
    parts = _parts(network, "", rows) if isinstance(network, nn.Sequential) else _flat(network, table)
    source = Slab("input", "image", "", table.input_shape)
    return _Drawing(max(table.input_shape)).page([source, *parts], title, table)


def _parts(network: nn.Module, path: str, rows: dict[str, LayerSummary]) -> tuple[Part, ...]:
    """What the children of an nn.Sequential look like."""
    parts: list[Part] = []
    for name, child in network.named_children():
        full = path + name
        if isinstance(child, nn.Sequential):
            inner = _parts(child, full + ".", rows)
            parts += inner if len(inner) == 1 and isinstance(inner[0], Slab) else [Frame(name, inner)]
        elif isinstance(child, Add):
            branches = tuple(_parts(branch, f"{full}.{key}.", rows) for key, branch in child.named_children())
            parts.append(Branches("∥" if isinstance(child, Concat) else "+", branches))
        elif full in rows:
            _append(parts, child, rows[full])
    return _collapsed(parts)


def _flat(network: nn.Module, table: NetworkSummary) -> tuple[Part, ...]:
    """A network of foreign build: its layers in the order of the forward pass, without forks."""
    modules, parts = dict(network.named_modules()), list[Part]()
    for layer in table.layers:
        if layer.name in modules:
            _append(parts, modules[layer.name], layer)
    return _collapsed(parts)


def _append(parts: list[Part], module: nn.Module, layer: LayerSummary) -> None:
    """A slab, or a note on the slab before if the layer keeps its shape."""
    kind = measures.kind(module)
    before = parts[-1] if parts else None
    word = layer.name.rpartition(".")[2].rstrip("0123456789")
    keeps = isinstance(before, Branches) or (isinstance(before, Slab) and before.shape == layer.output_shape)
    if kind == "other" and keeps:
        assert isinstance(before, Slab | Branches)
        parts[-1] = replace(before, notes=(*before.notes, word))
    else:
        parts.append(Slab(kind, word, _detail(module), layer.output_shape))


def _detail(module: nn.Module) -> str:
    """`5×5 /2`: window and stride."""
    kernel, stride = getattr(module, "kernel_size", None), getattr(module, "stride", 1)
    if kernel is None:
        return ""
    side, step = (value[0] if isinstance(value, tuple) else value for value in (kernel, stride))
    groups = getattr(module, "groups", 1)
    return f"{side}×{side}" + (f" /{step}" if step > 1 else "") + (f" g{groups}" if groups > 1 else "")


def _collapsed(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Neighbours that look the same, as one with a count."""
    found: list[Part] = []
    for part in parts:
        if found and _look(found[-1]) == _look(part):
            found[-1] = replace(found[-1], count=found[-1].count + 1)
        else:
            found.append(part)
    return tuple(found)


def _look(part: Part) -> Part:
    """A part without what does not show."""
    once = replace(part, count=1)
    return replace(once, title=once.title.rstrip("0123456789")) if isinstance(once, Frame) else once


class _Drawing:
    """Measures parts, then writes them; a part's arrows run along its middle.

    Args:
        largest: the longest side of the input, which the heights of slabs refer to.
    """

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.out: list[str] = []

    def slab_size(self, slab: Slab) -> tuple[float, float]:
        """Width and height of the colored slab itself."""
        if len(slab.shape) == 1:
            return 10, min(24 + slab.shape[0] ** 0.5, 90)
        return min(8 + 1.6 * slab.shape[0] ** 0.5, 56), 14 + 76 * (slab.shape[1] / self.largest) ** 0.5

    def texts(self, slab: Slab) -> list[str]:
        """The lines below a slab."""
        title = slab.title + (f" ×{slab.count}" if slab.count > 1 else "")
        return [title, *filter(None, [slab.detail]), shape_text(slab.shape), *slab.notes]

    def size(self, part: Part) -> tuple[float, float, float]:
        """Width, height above the middle, height below it."""
        match part:
            case Slab():
                width, height = self.slab_size(part)
                text = max(len(line) for line in self.texts(part)) * CHAR
                return max(width, text), height / 2, height / 2 + LINE * len(self.texts(part)) + 6
            case Frame():
                width, above, below = self.row_size(part.parts)
                return max(width, len(part.title) * CHAR + 30) + 2 * PAD, above + PAD + LINE, below + PAD
            case Branches():
                sizes = [self.row_size(branch) for branch in part.branches]
                height = sum(above + below for _, above, below in sizes) + PAD * (len(sizes) - 1)
                return max(width for width, _, _ in sizes) + 2 * GAP + 26, height / 2, height / 2

    def row_size(self, parts: Sequence[Part]) -> tuple[float, float, float]:
        """The same of parts joined by arrows."""
        if not parts:
            return 20, 10, 10
        sizes = [self.size(part) for part in parts]
        width = sum(size[0] for size in sizes) + GAP * (len(sizes) - 1)
        return width, max(size[1] for size in sizes), max(size[2] for size in sizes)

    def page(self, parts: Sequence[Part], title: str, table: NetworkSummary) -> str:
        """All rows, one below the other."""
        rows: list[list[Part]] = [[]]
        for part in parts:
            if rows[-1] and self.row_size([*rows[-1], part])[0] > MAX_ROW_WIDTH:
                rows.append([])
            rows[-1].append(part)
        y, width = 64.0, 420.0
        for row in rows:
            row_width, above, below = self.row_size(row)
            self.row(row, 30, y + above)
            width, y = max(width, row_width + 60), y + above + below + 36
        head = f"{table.parameters:,} parameters · {table.macs:,} multiply-accumulates an image"
        self.text(30, 28, title or "network", "start", "bold 16px")
        self.text(30, 46, head, "start", "12px", "#666")
        style = "text{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{y:.0f}" '
            f'viewBox="0 0 {width:.0f} {y:.0f}"><style>{style}</style><rect width="100%" height="100%" fill="white"/>\n'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker></defs>\n' + "\n".join(self.out) + "\n</svg>\n"
        )

    def row(self, parts: Sequence[Part], x: float, middle: float) -> float:
        """Parts joined by arrows; gives the x where the row ends."""
        for number, part in enumerate(parts):
            if number:
                self.arrow(x + 2, middle, x + GAP - 2, middle)
                x += GAP
            x = self.part(part, x, middle)
        return x

    def part(self, part: Part, x: float, middle: float) -> float:
        width, above, below = self.size(part)
        match part:
            case Slab():
                self.slab(part, x + width / 2, middle)
            case Frame():
                title = part.title + (f" ×{part.count}" if part.count > 1 else "")
                frame = f'x="{x:.1f}" y="{middle - above:.1f}" width="{width:.1f}" height="{above + below:.1f}" rx="8"'
                self.out.append(f'<rect {frame} fill="#000" fill-opacity="0.03" stroke="#bbb"/>')
                self.text(x + PAD, middle - above + LINE, title, "start", "bold 11px", "#555")
                inner = self.row_size(part.parts)[0]
                self.row(part.parts, x + (width - inner) / 2, middle)
            case Branches():
                self.branches(part, x, middle, width)
        return x + width

    def slab(self, slab: Slab, center: float, middle: float) -> None:
        """A colored box and the text below it."""
        width, height = self.slab_size(slab)
        box = f'x="{center - width / 2:.1f}" y="{middle - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}"'
        color = COLORS.get(slab.kind, "#ffffff")
        stroke = "#888" if slab.kind == "input" else color
        self.out.append(f'<rect {box} rx="2" fill="{color}" fill-opacity="0.85" stroke="{stroke}"/>')
        for number, line in enumerate(self.texts(slab)):
            font = "bold 11px" if number == 0 else "10px"
            y = middle + height / 2 + LINE * (number + 1)
            self.text(center, y, line, "middle", font, "#222" if number == 0 else "#666")

    def branches(self, fork: Branches, x: float, middle: float, width: float) -> None:
        """Branches below each other, and the circle in which they meet."""
        left, right = x + GAP, x + width - 26
        top = middle - self.size(fork)[1]
        for branch in fork.branches:
            _, above, below = self.row_size(branch)
            y = top + above
            self.line(x, middle, left - 8, y)
            end = self.row(branch, left, y) if branch else left - 8
            self.line(left - 8, y, left, y)
            self.line(end, y, right - 8, y)
            self.arrow(right - 8, y, right + 4, middle + (y > middle) * 6 - (y < middle) * 6)
            top += above + below + PAD
        self.out.append(f'<circle cx="{right + 14:.1f}" cy="{middle:.1f}" r="9" fill="white" stroke="#777"/>')
        self.text(right + 14, middle + 4, fork.sign, "middle", "bold 12px", "#444")
        for number, note in enumerate(fork.notes):
            self.text(right + 20, middle + 22 + LINE * number, note, "middle", "10px", "#666")

    def line(self, x1: float, y1: float, x2: float, y2: float, more: str = "") -> None:
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.out.append(f'<line {ends} stroke="#777"{more}/>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.line(x1, y1, x2, y2, ' marker-end="url(#tip)"')

    def text(self, x: float, y: float, words: str, anchor: str, font: str, color: str = "#222") -> None:
        weight, size = ("bold", font[5:]) if font.startswith("bold ") else ("normal", font)
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self.out.append(
            f'<text {place} font-size="{size}" font-weight="{weight}" fill="{color}">{escape(words)}</text>'
        )
