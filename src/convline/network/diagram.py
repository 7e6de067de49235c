"""Draw the architecture of a network as an SVG diagram, without a plotting library.

A layer is a slab: its height shows the size of the feature map, its width the number of channels (both on a square-root
scale). Layers that keep the shape (norms, activations, dropout) are text below the slab before them. Stages and blocks
are frames, the branches of a fork are below each other, and equal neighbors are drawn once, with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from torch import nn

from convline.formatting import shape_text, visible
from convline.network import windows_and_macs
from convline.network.layers import Add, Concat
from convline.network.summary import LayerSummary, NetworkSummary

# in pixels
MAX_ROW_WIDTH = 1500  # the diagram continues in a new row
CHARACTER_WIDTH, LINE_HEIGHT = 6.3, 14
GAP = 26  # length of an arrow between two layers
PADDING = 12  # space inside of a frame

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
    """Describe a layer. `notes` names the layers after it that keep its shape; `count` is the number of repetitions."""

    kind: str
    title: str
    detail: str
    shape: tuple[int, ...]
    notes: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Frame:
    """Describe a stage or a block."""

    title: str
    parts: tuple[Part, ...]
    count: int = 1


@dataclass(frozen=True)
class Branches:
    """Describe a fork. `sign` shows how the outputs are joined; `notes` names later layers with the same shape."""

    sign: str
    branches: tuple[tuple[Part, ...], ...]
    notes: tuple[str, ...] = ()
    count: int = 1


Part = Slab | Frame | Branches


def draw(network: nn.Module, summary: NetworkSummary, title: str = "") -> str:
    """Draw the diagram of a network.

    Args:
        network: the network, on any device.
        summary: the result of `summarize(network, ...)`.
        title: text at the top.
    Returns:
        The text of an SVG file.
    """
    summaries = {layer.name: layer for layer in summary.layers}
    parts = (
        _sequential_parts(network, "", summaries)
        if isinstance(network, nn.Sequential)
        else _parts_in_call_order(network, summary)
    )
    image = Slab("input", "image", "", summary.input_shape)
    return _Drawing(max(summary.input_shape)).page([image, *parts], title, summary)


def _sequential_parts(network: nn.Module, path: str, summaries: dict[str, LayerSummary]) -> tuple[Part, ...]:
    """Return a part for each child of an nn.Sequential; `path` is its name with a dot at the end."""
    parts: list[Part] = []
    for name, child in network.named_children():
        full_name = path + name
        if isinstance(child, nn.Sequential):
            inner = _sequential_parts(child, full_name + ".", summaries)
            parts += inner if len(inner) == 1 and isinstance(inner[0], Slab) else [Frame(name, inner)]
        elif isinstance(child, Add):
            branches = tuple(
                _sequential_parts(branch, f"{full_name}.{key}.", summaries) for key, branch in child.named_children()
            )
            parts.append(Branches("∥" if isinstance(child, Concat) else "+", branches))
        elif full_name in summaries:
            _append(parts, child, summaries[full_name])
    return _merge_repetitions(parts)


def _parts_in_call_order(network: nn.Module, summary: NetworkSummary) -> tuple[Part, ...]:
    """Return the layers of any network in the order of the forward pass, without its forks, which are unknown."""
    modules, parts = dict(network.named_modules()), list[Part]()
    for layer in summary.layers:
        if layer.name in modules:
            _append(parts, modules[layer.name], layer)
    return _merge_repetitions(parts)


def _append(parts: list[Part], module: nn.Module, layer: LayerSummary) -> None:
    """Append a slab for a layer, or add a note to the part before if the layer keeps its shape."""
    kind = windows_and_macs.kind(module)
    previous = parts[-1] if parts else None
    label = layer.name.rpartition(".")[2].rstrip("0123456789")
    keeps_shape = isinstance(previous, Branches) or (
        isinstance(previous, Slab) and previous.shape == layer.output_shape
    )
    if kind == "other" and keeps_shape:
        assert isinstance(previous, Slab | Branches)
        parts[-1] = replace(previous, notes=(*previous.notes, label))
    else:
        parts.append(Slab(kind, label, _detail(module), layer.output_shape))


def _detail(module: nn.Module) -> str:
    """Return kernel, stride and groups of a layer, such as `5×5 /2`; "" if it has no kernel."""
    kernel, stride = getattr(module, "kernel_size", None), getattr(module, "stride", 1)
    if kernel is None:
        return ""
    side, stride = (value[0] if isinstance(value, tuple) else value for value in (kernel, stride))
    groups = getattr(module, "groups", 1)
    return f"{side}×{side}" + (f" /{stride}" if stride > 1 else "") + (f" g{groups}" if groups > 1 else "")


def _merge_repetitions(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Merge equal neighbors into one part with a count."""
    merged: list[Part] = []
    for part in parts:
        if merged and _comparable(merged[-1]) == _comparable(part):
            merged[-1] = replace(merged[-1], count=merged[-1].count + 1)
        else:
            merged.append(part)
    return tuple(merged)


def _comparable(part: Part) -> Part:
    """Return a part without its count and the number in its title, so that repetitions are equal."""
    single = replace(part, count=1)
    return replace(single, title=single.title.rstrip("0123456789")) if isinstance(single, Frame) else single


class _Drawing:
    """Compute the size of parts and write their SVG elements. Arrows meet a part at its middle.

    Args:
        input_side: longer side of the input image; heights of slabs are relative to it.
    """

    def __init__(self, input_side: int) -> None:
        self.input_side = input_side
        self.elements: list[str] = []

    def slab_size(self, slab: Slab) -> tuple[float, float]:
        """Return width and height of the colored slab, without its text."""
        if len(slab.shape) == 1:
            return 10, min(24 + slab.shape[0] ** 0.5, 90)
        return min(8 + 1.6 * slab.shape[0] ** 0.5, 56), 14 + 76 * (slab.shape[1] / self.input_side) ** 0.5

    def texts(self, slab: Slab) -> list[str]:
        """Return the lines of text below a slab."""
        title = slab.title + (f" ×{slab.count}" if slab.count > 1 else "")
        return [title, *filter(None, [slab.detail]), shape_text(slab.shape), *slab.notes]

    def size(self, part: Part) -> tuple[float, float, float]:
        """Return the width of a part, its height above its middle, and its height below it."""
        match part:
            case Slab():
                width, height = self.slab_size(part)
                text = max(len(line) for line in self.texts(part)) * CHARACTER_WIDTH
                return max(width, text), height / 2, height / 2 + LINE_HEIGHT * len(self.texts(part)) + 6
            case Frame():
                width, above, below = self.row_size(part.parts)
                return (
                    max(width, len(part.title) * CHARACTER_WIDTH + 30) + 2 * PADDING,
                    above + PADDING + LINE_HEIGHT,
                    below + PADDING,
                )
            case Branches():
                sizes = [self.row_size(branch) for branch in part.branches]
                height = sum(above + below for _, above, below in sizes) + PADDING * (len(sizes) - 1)
                return max(width for width, _, _ in sizes) + 2 * GAP + 26, height / 2, height / 2

    def row_size(self, parts: Sequence[Part]) -> tuple[float, float, float]:
        """Return the size of a row of parts with arrows between them, in the form of `size`."""
        if not parts:
            return 20, 10, 10
        sizes = [self.size(part) for part in parts]
        width = sum(size[0] for size in sizes) + GAP * (len(sizes) - 1)
        return width, max(size[1] for size in sizes), max(size[2] for size in sizes)

    def page(self, parts: Sequence[Part], title: str, summary: NetworkSummary) -> str:
        """Return the SVG file: the title, and the parts in rows below each other."""
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
        totals = f"{summary.parameters:,} parameters · {summary.macs:,} multiply-accumulates an image"
        self.text(30, 28, title or "network", "start", "bold 16px")
        self.text(30, 46, totals, "start", "12px", "#666")
        style = "text{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{y:.0f}" '
            f'viewBox="0 0 {width:.0f} {y:.0f}"><style>{style}</style><rect width="100%" height="100%" fill="white"/>\n'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker></defs>\n' + "\n".join(self.elements) + "\n</svg>\n"
        )

    def row(self, parts: Sequence[Part], x: float, middle: float) -> float:
        """Draw parts with arrows between them; return the x coordinate of the row's end."""
        for index, part in enumerate(parts):
            if index:
                self.arrow(x + 2, middle, x + GAP - 2, middle)
                x += GAP
            x = self.part(part, x, middle)
        return x

    def part(self, part: Part, x: float, middle: float) -> float:
        """Draw a part with its left side at `x`; return the x coordinate of its right side."""
        width, above, below = self.size(part)
        match part:
            case Slab():
                self.slab(part, x + width / 2, middle)
            case Frame():
                title = part.title + (f" ×{part.count}" if part.count > 1 else "")
                frame = f'x="{x:.1f}" y="{middle - above:.1f}" width="{width:.1f}" height="{above + below:.1f}" rx="8"'
                self.elements.append(f'<rect {frame} fill="#000" fill-opacity="0.03" stroke="#bbb"/>')
                self.text(x + PADDING, middle - above + LINE_HEIGHT, title, "start", "bold 11px", "#555")
                inner = self.row_size(part.parts)[0]
                self.row(part.parts, x + (width - inner) / 2, middle)
            case Branches():
                self.branches(part, x, middle, width)
        return x + width

    def slab(self, slab: Slab, center: float, middle: float) -> None:
        """Draw a colored box with text below it."""
        width, height = self.slab_size(slab)
        box = f'x="{center - width / 2:.1f}" y="{middle - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}"'
        color = COLORS.get(slab.kind, "#ffffff")
        stroke = "#888" if slab.kind == "input" else color
        self.elements.append(f'<rect {box} rx="2" fill="{color}" fill-opacity="0.85" stroke="{stroke}"/>')
        for index, line in enumerate(self.texts(slab)):
            font = "bold 11px" if index == 0 else "10px"
            y = middle + height / 2 + LINE_HEIGHT * (index + 1)
            self.text(center, y, line, "middle", font, "#222" if index == 0 else "#666")

    def branches(self, fork: Branches, x: float, middle: float, width: float) -> None:
        """Draw the branches below each other, and the circle at which they are joined."""
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
            top += above + below + PADDING
        self.elements.append(f'<circle cx="{right + 14:.1f}" cy="{middle:.1f}" r="9" fill="white" stroke="#777"/>')
        self.text(right + 14, middle + 4, fork.sign, "middle", "bold 12px", "#444")
        for index, note in enumerate(fork.notes):
            self.text(right + 20, middle + 22 + LINE_HEIGHT * index, note, "middle", "10px", "#666")

    def line(self, x1: float, y1: float, x2: float, y2: float, attributes: str = "") -> None:
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.elements.append(f'<line {ends} stroke="#777"{attributes}/>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.line(x1, y1, x2, y2, ' marker-end="url(#tip)"')

    def text(self, x: float, y: float, content: str, anchor: str, font: str, color: str = "#222") -> None:
        weight, size = ("bold", font[5:]) if font.startswith("bold ") else ("normal", font)
        position = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        text = escape(visible(content))
        self.elements.append(f'<text {position} font-size="{size}" font-weight="{weight}" fill="{color}">{text}</text>')
