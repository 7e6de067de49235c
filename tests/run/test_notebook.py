"""Training in the kernel of a notebook: one output with a bar, and an interrupt that saves."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from convline.callbacks.progress import NotebookBar
from support.commands import run_dirs, wait_for

TINY = (
    "data=synthetic data.source.num_train=600 data.source.num_test=100 data.batch_size=16 callbacks=plain trainer=cpu "
    "logger=csv threads=1"
)


class Display:
    """What IPython's `display` gives: a handle that replaces its output."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, data: dict[str, str], raw: bool, display_id: bool) -> "Display":
        assert raw
        assert display_id
        self.texts.append(data["text/plain"])
        return self

    def update(self, data: dict[str, str], raw: bool) -> None:
        self.texts.append(data["text/plain"])


def test_lines_and_bar_replace_each_other_in_one_output(monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display()
    monkeypatch.setattr("IPython.display.display", display)
    bar = NotebookBar()
    bar.title = "epoch 1/2"
    bar.draw(10, 40, "loss 2.0")
    bar.add_line("epoch 1/2 done")
    bar.draw(40, 40, "loss 1.0")
    bar.close()
    quarter, full = "━" * 7 + "─" * 23, "━" * 30
    assert display.texts == [
        "",
        f"epoch 1/2 {quarter} 10/40  loss 2.0",
        "epoch 1/2 done",
        f"epoch 1/2 done\nepoch 1/2 {full} 40/40  loss 1.0",
        "epoch 1/2 done",
    ]


@pytest.mark.slow
def test_a_notebook_holds_the_epochs_in_one_output(tmp_path: Path) -> None:
    source = f'import convline\nrun = convline.train("{TINY} trainer.max_epochs=12")'
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for output in notebook.cells[0].outputs if "epoch " in str(output.get("data", ""))]
    assert len(outputs) == 1
    lines = outputs[0]["data"]["text/plain"].splitlines()
    assert len(lines) == 12
    assert lines[-1].startswith("epoch  12/12  train loss ")
    assert len(notebook.cells[0].outputs) < 12  # with the header and the panel of the outcome


def reply_to(message: str, client: Any) -> dict[str, Any]:
    """What the kernel says of a request, after what it said of earlier ones."""
    while True:
        reply = client.get_shell_msg(timeout=120)
        if reply["parent_header"].get("msg_id") == message:
            return reply["content"]


@pytest.mark.slow
def test_the_interrupt_of_the_kernel_saves_and_the_run_goes_on(tmp_path: Path) -> None:
    manager, client = start_new_kernel(cwd=str(tmp_path))
    try:
        message = client.execute(f'import convline\nrun = convline.train("{TINY} trainer.max_epochs=60")')
        wait_for(lambda: list(tmp_path.rglob("last.ckpt")), "first checkpoint")
        manager.interrupt_kernel()
        content = reply_to(message, client)
        assert (content["status"], content["ename"]) == ("error", "Interrupted")
        (run_dir,) = run_dirs(tmp_path)
        assert f"convline.train('resume={run_dir.relative_to(tmp_path)}')" in content["evalue"]
        assert json.loads((run_dir / "summary.json").read_text())["status"] == "interrupted"
        message = client.execute(f'run = convline.train("resume={run_dir.relative_to(tmp_path)}")')
        assert reply_to(message, client)["status"] == "ok"
        assert json.loads((run_dir / "summary.json").read_text())["status"] == "finished"
        rows = (run_dir / "metrics.csv").read_text().splitlines()
        assert len(rows) == 61  # the header and every epoch once
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
