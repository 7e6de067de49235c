"""Run directories: never overwritten, read with suspicion; what they say of code and machine."""

import threading
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from convline.errors import UserError
from convline.records.directory import (
    create_run_directory,
    keep_data_root,
    read_config,
    read_summary,
    read_trusted_config,
    update_summary,
)
from support.made_runs import base_config

# --- create ---------------------------------------------------------------------------------------------------------


def test_create_makes_the_folder_and_its_parents(tmp_path: Path) -> None:
    path = create_run_directory(tmp_path / "a" / "b", "run")
    assert path == tmp_path / "a" / "b" / "run"
    assert (path / "checkpoints").is_dir()


def test_create_never_takes_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("x")
    (tmp_path / "run-2").write_text("a file")
    names = [create_run_directory(tmp_path, "run").name for _ in range(3)]
    assert names == ["run-3", "run-4", "run-5"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]


def test_create_gives_every_thread_its_own(tmp_path: Path) -> None:
    barrier, made = threading.Barrier(8), []

    def make() -> None:
        barrier.wait()
        made.extend(create_run_directory(tmp_path, "run") for _ in range(5))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == len(made) == 40


@pytest.mark.parametrize("below", [".", "deeper"])
def test_create_explains_a_parent_that_cannot_be_written(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made") as caught:
        create_run_directory(tmp_path / "file" / below, "run")
    assert "runs_dir=" in str(caught.value)


# --- summary and config ---------------------------------------------------------------------------------------------


def test_summary_values_are_changed_one_by_one(tmp_path: Path) -> None:
    update_summary(tmp_path, status="running", seconds=0.0)
    update_summary(tmp_path, status="finished", metrics={"val/acc": 0.5})
    assert read_summary(tmp_path) == {"status": "finished", "seconds": 0.0, "metrics": {"val/acc": 0.5}}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_summary_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update_summary(tmp_path, status="running")

    def disk_full(self: Path, text: str, **options: str) -> None:
        self.write_bytes(text[:5].encode())
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", disk_full)
        with pytest.raises(OSError, match="disk full"):
            update_summary(tmp_path, status="finished")
    assert read_summary(tmp_path) == {"status": "running"}


JUNK_SUMMARIES = {
    "empty": b"",
    "half": b'{"status": "runn',
    "bytes": bytes(range(256)),
    "list": b"[1, 2]",
    "nothing": b"null",
    "without a status": b"{}",
}


@pytest.mark.parametrize("case", JUNK_SUMMARIES)
def test_a_summary_that_is_none_is_explained(case: str, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_bytes(JUNK_SUMMARIES[case])
    with pytest.raises(UserError, match=r"is not a run directory: its summary\.json"):
        read_summary(tmp_path)


JUNK_CONFIGS = {
    "empty": b"",
    "not yaml": b"a: [1, 2",
    "bytes": bytes(range(256)),
    "list": b"- 1\n- 2\n",
    "word": b"hello",
    "another program's": b"server: {port: 80}\n",
}


@pytest.mark.parametrize("case", JUNK_CONFIGS)
def test_a_config_that_is_none_is_explained(case: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(JUNK_CONFIGS[case])
    with pytest.raises(UserError, match=r"is not a run directory: its config\.yaml"):
        read_config(tmp_path)


@pytest.mark.parametrize("read", [read_summary, read_config])
def test_a_folder_that_is_no_run_is_explained(read: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run directory: its .* cannot be read"):
        read(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        read(tmp_path / "nowhere")


# --- data that were moved -------------------------------------------------------------------------------------------


def made(run_dir: Path, root: str | None, source: str = "mnist") -> Path:
    """Write the config of a run with data in a folder."""
    run_dir.mkdir()
    cfg = OmegaConf.create(base_config())
    cfg.data.root = root
    cfg.data.source._target_ = f"convline.data.sources.{source}"
    OmegaConf.save(cfg, run_dir / "config.yaml")
    update_summary(run_dir, status="interrupted")
    return run_dir


def test_moved_data_are_named_or_found_by_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir, images = made(tmp_path / "a", "/gone"), made(tmp_path / "b", "/gone", "folder")
    monkeypatch.delenv("CONVLINE_DATA", raising=False)
    assert read_trusted_config(run_dir).data.root == "/gone"
    assert read_trusted_config(run_dir, "/moved").data.root == "/moved"
    monkeypatch.setenv("CONVLINE_DATA", str(tmp_path))
    assert read_trusted_config(run_dir).data.root == "/gone"  # a new run takes no other folder than was typed
    for path in (run_dir, images):
        (path / "environment.json").write_text('{"data_fingerprint": "0"}')
    assert read_trusted_config(run_dir).data.root == str(tmp_path)
    assert read_trusted_config(images).data.root == "/gone"  # images of one's own are not in that folder
    present = made(tmp_path / "c", str(tmp_path / "a"))
    assert read_trusted_config(present).data.root == str(tmp_path / "a")
    keep_data_root(run_dir, "/moved")
    assert read_config(run_dir).data.root == "/moved"


def test_data_without_a_folder_cannot_be_elsewhere(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "a", None)
    with pytest.raises(UserError, match="would have no effect"):
        read_trusted_config(run_dir, "/moved")
