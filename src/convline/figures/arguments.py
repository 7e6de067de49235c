"""Check the arguments of figures before anything is read or drawn."""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from convline.errors import UserError
from convline.figures import canvas
from convline.formatting import shortened

P = ParamSpec("P")
R = TypeVar("R")


def checked(**largest: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a figure refuse a split that is neither "val" nor "test", and counts that cannot be drawn.

    Args:
        largest: by argument, the largest count; each is a whole number from 1.
    """

    def decorate(draw: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(draw)

        @functools.wraps(draw)
        def draw_checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name, value in signature.bind(*args, **kwargs).arguments.items():
                if name == "split" and value not in tuple(canvas.SPLIT_NAMES):
                    expected = " or ".join(canvas.SPLIT_NAMES)
                elif name in largest and not (type(value) is int and 1 <= value <= largest[name]):
                    expected = f"a whole number from 1 to {largest[name]:,}"
                else:
                    continue
                raise UserError(f"{draw.__name__}: {name}={shortened(repr(value))}: it must be {expected}.")
            return draw(*args, **kwargs)

        return draw_checked

    return decorate
