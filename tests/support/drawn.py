"""What is written on a figure, and where."""

from typing import Any

from matplotlib.text import Text

from convline.figures import canvas


def texts(figure: object) -> list[str]:
    """Everything that is written on a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]  # type: ignore[attr-defined]


def boxes(figure: Any) -> dict[str, Any]:
    """Where each text of a figure is drawn, in pixels from its lower left corner."""
    canvas.png(figure)  # places the labels
    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return {text.get_text(): text.get_window_extent() for text in found}


def assert_nothing_is_cut_off(figure: Any) -> None:
    width, height = figure.get_size_inches() * canvas.DPI
    for text, box in boxes(figure).items():
        assert min(box.x0, box.y0) >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
