"""Draw the figures of a run into files for `convline figures RUN_DIR`."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from convline import figures
from convline.callbacks.failures import failures_reported
from convline.config.overrides import moved_data_root
from convline.errors import UserError
from convline.figures.canvas import png, svg
from convline.training.loaded_run import LoadedRun, RunOrPath


def save(
    run_dir: Path,
    names: Sequence[str] = (),
    split: str = "val",
    as_svg: bool = False,
    others: Sequence[RunOrPath] = (),
    settings: Sequence[str] = (),
) -> list[Path]:
    """Draw figures of a run and write them into its folder `pictures`.

    A named figure that cannot be drawn raises its error. Without names, such a figure is reported and left out.

    Args:
        run_dir: the directory of a finished run.
        names: keys of `convline.figures.BY_NAME`; empty: all figures that can be drawn of this network.
        split: split whose images are drawn, "val" or "test", in figures that take a split.
        as_svg: write NAME.svg as well as NAME.png, for print.
        others: further runs, for figures that compare runs.
        settings: `data.root=FOLDER`, if the data were moved.
    Returns:
        The paths of the files.
    Raises:
        UserError: there is no such run or figure, a named figure cannot be drawn, or `split` or `others` would have no
            effect.
    """
    run = LoadedRun(run_dir, data_root=moved_data_root(settings))
    draw_by_name = {name: figures.BY_NAME[name] for name in map(figures.canonical_name, names or figures.BY_NAME)}
    if others and not any(map(_compares, draw_by_name.values())):
        raise UserError(
            f"--beside compares runs, which {', '.join(draw_by_name)} cannot do.\n  Type: --only translation"
        )
    if split == "test" and not any(map(_has_split, draw_by_name.values())):
        figures_with_split = ", ".join(name for name, draw in figures.BY_NAME.items() if _has_split(draw))
        raise UserError(f"--split test has no effect on {', '.join(draw_by_name)}: only on {figures_with_split}")
    paths = []
    folder = run_dir / "pictures"
    assert run.cfg is not None  # reading it raises for a wrong directory, before a folder is made there
    folder.mkdir(exist_ok=True)
    for name, draw in draw_by_name.items():
        # A named figure that cannot be drawn is the user's error; of all figures, some do not apply to every network.
        with nullcontext() if names else failures_reported(f"drawing {name}", run):
            other_runs = others if _compares(draw) else ()
            figure = draw(run, *other_runs, **({"split": split} if _has_split(draw) else {}))
            for suffix, encode in (("png", png), *((("svg", svg),) if as_svg else ())):
                path = folder / f"{name}.{suffix}"
                path.write_bytes(encode(figure))
                paths.append(path)
                print(path, flush=True)
    return paths


def _compares(draw: Callable[..., Any]) -> bool:
    return any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in inspect.signature(draw).parameters.values())


def _has_split(draw: Callable[..., Any]) -> bool:
    return "split" in inspect.signature(draw).parameters
