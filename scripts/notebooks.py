"""Runs the notebooks and writes them with what comes out: `python scripts/notebooks.py [NAME ...]`.

A notebook is a text, notebooks/NAME.py, and the same with its outputs, notebooks/NAME.ipynb. Edit the text, or edit in
Jupyter and type `jupytext --sync notebooks/NAME.ipynb`; then run this. MNIST and CIFAR-10 must be in $CONVLINE_DATA or
./data.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
LIMIT = 1_000_000  # bytes of a notebook
SECONDS = 600  # of one cell, at most


def main(names: list[str]) -> None:
    """Run those named, or all."""
    for source in sorted(FOLDER.glob("*.py")):
        if not names or source.stem in names:
            notebook = executed(source, short=False, data_root=Path(os.environ.get("CONVLINE_DATA", ROOT / "data")))
            target = source.with_suffix(".ipynb")
            target.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
            print(f"{target}: {target.stat().st_size:,} bytes", flush=True)
            if target.stat().st_size > LIMIT:
                raise SystemExit(f"{target} is larger than {LIMIT:,} bytes: make its pictures smaller")


def executed(source: Path, short: bool, data_root: Path | None = None) -> NotebookNode:
    """The notebook of a text with its outputs.

    It runs in a new folder, which is deleted afterwards, so that it finds nothing of earlier runs.

    Args:
        source: NAME.py.
        short: the small settings, which need no data set.
        data_root: folder of the data sets; not looked at in the short settings.
    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; it says which, and what it printed.
    """
    notebook = jupytext.read(source)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "train.py", folder)
        (Path(folder) / "notebooks").mkdir()
        environment = {
            **os.environ,
            "CONVLINE_SHORT": str(int(short)),
            "CONVLINE_DATA": str(data_root.absolute() if data_root else Path(folder) / "data"),
            "IPYTHONDIR": str(Path(folder) / "ipython"),  # nobody's own settings and history
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # of `python` in a cell
        }
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            coalesce_streams=True,
            resources={"metadata": {"path": str(Path(folder) / "notebooks")}},
            extra_arguments=["--log-level=40"],
        )
        client.execute(env=environment)
    return tidied(notebook)


def tidied(notebook: NotebookNode) -> NotebookNode:
    """Without what differs each time: cells' names, times, versions."""
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number}"
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.data.pop("image/jpeg", None)  # the same picture once more
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"jupytext": {"formats": "ipynb,py:percent"}, "kernelspec": kernel})
    return notebook


if __name__ == "__main__":
    main(sys.argv[1:])
