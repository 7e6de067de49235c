"""`convline figures RUN_DIR`: the pictures of a run as files."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from convline import figures
from convline.errors import UserError, first_line
from convline.figures.canvas import png, svg
from convline.training.loaded_run import LoadedRun, RunOrPath


def save(
    run_dir: Path, names: Sequence[str] = (), split: str = "val", as_svg: bool = False, others: Sequence[RunOrPath] = ()
) -> list[Path]:
    """Draw pictures of a run into its folder `pictures`.

    Args:
        run_dir: of a finished run.
        names: of `convline.figures.BY_NAME`; none stands for all that can be drawn of this network.
        split: whose images are shown, "val" or "test", where a picture leaves a choice.
        as_svg: write NAME.svg beside NAME.png, for print.
        others: further runs, for pictures that compare.
    Returns:
        The files.
    Raises:
        UserError: there is no such run or picture, one that was named cannot be drawn, or `split` or `others` would
            have no effect.
    """
    run = LoadedRun(run_dir)
    chosen = {name: figures.BY_NAME[name] for name in map(figures.canonical_name, names or figures.BY_NAME)}
    if others and not any(map(_compares, chosen.values())):
        raise UserError(f"--beside compares runs, which {', '.join(chosen)} cannot do.\n  Type: --only translation")
    if split == "test" and not any(map(_has_split, chosen.values())):
        able = ", ".join(name for name, draw in figures.BY_NAME.items() if _has_split(draw))
        raise UserError(f"--split test has no effect on {', '.join(chosen)}: only on {able}")
    written = []
    folder = run_dir / "pictures"
    assert run.cfg is not None  # a run directory, before a folder is made in it
    folder.mkdir(exist_ok=True)
    for name, draw in chosen.items():
        compared = others if _compares(draw) else ()
        try:
            figure = draw(run, *compared, **({"split": split} if _has_split(draw) else {}))
        except UserError as error:
            if names:
                raise
            print(f"no picture of {name}: {first_line(error)}", flush=True)
            continue
        for ending, content in (("png", png), *((("svg", svg),) if as_svg else ())):
            path = folder / f"{name}.{ending}"
            path.write_bytes(content(figure))
            written.append(path)
            print(path, flush=True)
    return written


def _compares(draw: Callable[..., Any]) -> bool:
    return any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in inspect.signature(draw).parameters.values())


def _has_split(draw: Callable[..., Any]) -> bool:
    return "split" in inspect.signature(draw).parameters
