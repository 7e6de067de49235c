"""The notebooks run from top to bottom, and what is kept of them is what their texts say."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from notebooks import LIMIT, executed
from support.commands import ROOT

TEXTS = sorted((ROOT / "notebooks").glob("*.py"))
HEAD = TEXTS[0].read_text().partition("\n\n")[0]
by_name = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)


def kept(text: Path) -> NotebookNode:
    notebook = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)
    return notebook


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def told(notebook: NotebookNode) -> str:
    """All output that is text."""
    parts = []
    for output in outputs(notebook):
        parts.append(output.get("text", ""))
        parts += [
            content for kind, content in output.get("data", {}).items() if kind.startswith(("text/", "image/svg"))
        ]
    return "\n".join(parts)


@pytest.mark.slow
@by_name
def test_it_runs_from_top_to_bottom(text: Path) -> None:
    notebook = executed(text, short=True)  # which raises if a cell fails
    assert not [output.text for output in outputs(notebook) if output.get("name") == "stderr"]
    # the texts speak of outputs: where the kept notebook has some, there are some in the short settings too
    kinds = [
        [
            {key for output in cell.get("outputs", ()) for key in output.get("data", {"stdout": ""})}
            for cell in each.cells
        ]
        for each in (notebook, kept(text))
    ]
    assert kinds[0] == kinds[1]


def test_a_cell_that_fails_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "broken.py"
    text.write_text(f'{HEAD}\n\n# %% language="bash"\n# python ../train.py model=lenett\n')
    with pytest.raises(CellExecutionError, match="did you mean 'lenet'"):
        executed(text, short=True)


@by_name
def test_the_kept_notebook_is_that_of_its_text(text: Path) -> None:
    source, notebook = jupytext.read(text), kept(text)
    assert [(cell.cell_type, cell.source) for cell in source.cells] == [
        (cell.cell_type, cell.source) for cell in notebook.cells
    ], "type: python scripts/notebooks.py"
    assert notebook.metadata.jupytext.formats == source.metadata.jupytext.formats
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@by_name
def test_the_kept_outputs_can_be_read_by_everybody(text: Path) -> None:
    notebook = kept(text)
    assert text.with_suffix(".ipynb").stat().st_size < LIMIT
    assert not [
        output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"
    ]
    pictures = [kind for output in outputs(notebook) for kind in output.get("data", {}) if kind.startswith("image/")]
    assert len(pictures) >= 2
    words = told(notebook)
    assert not re.search(r"(?<![\w.<])/(home|tmp|root|usr|work|Users|opt|var)\b", words), "an absolute path"
    assert not re.search(r"\x1b|it/s|━| at 0x|Warning", words), "noise"
    assert "digits" not in words  # the short settings


@by_name
def test_links_between_notebooks_lead_somewhere(text: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", text.read_text())
    assert all((text.parent / link).exists() for link in links)
    place = TEXTS.index(text)
    assert place + 1 == len(TEXTS) or TEXTS[place + 1].with_suffix(".ipynb").name in links  # the next one
