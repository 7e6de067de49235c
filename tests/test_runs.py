"""Run directories: never overwritten, read with suspicion, named by what they compute."""

import io
import json
import os
import pickle
import random
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from commands import shell
from convline import provenance, runs
from convline.errors import UserError

# --- create ---------------------------------------------------------------------------------------------------------


def test_create_makes_the_folder_and_its_parents(tmp_path: Path) -> None:
    path = runs.create(tmp_path / "a" / "b", "run")
    assert path == tmp_path / "a" / "b" / "run"
    assert (path / "checkpoints").is_dir()


def test_create_never_takes_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("x")
    (tmp_path / "run-2").write_text("a file")
    names = [runs.create(tmp_path, "run").name for _ in range(3)]
    assert names == ["run-3", "run-4", "run-5"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]


def test_create_gives_every_thread_its_own(tmp_path: Path) -> None:
    barrier, made = threading.Barrier(8), []

    def make() -> None:
        barrier.wait()
        made.extend(runs.create(tmp_path, "run") for _ in range(5))

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
        runs.create(tmp_path / "file" / below, "run")
    assert "runs_dir=" in str(caught.value)


# --- summary and config ---------------------------------------------------------------------------------------------


def test_summary_values_are_changed_one_by_one(tmp_path: Path) -> None:
    runs.update_summary(tmp_path, status="running", seconds=0.0)
    runs.update_summary(tmp_path, status="finished", metrics={"val/acc": 0.5})
    assert runs.read_summary(tmp_path) == {"status": "finished", "seconds": 0.0, "metrics": {"val/acc": 0.5}}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_summary_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.update_summary(tmp_path, status="running")

    def disk_full(self: Path, text: str) -> None:
        self.write_bytes(text[:5].encode())
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", disk_full)
        with pytest.raises(OSError, match="disk full"):
            runs.update_summary(tmp_path, status="finished")
    assert runs.read_summary(tmp_path) == {"status": "running"}


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
        runs.read_summary(tmp_path)


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
        runs.read_config(tmp_path)


@pytest.mark.parametrize("read", [runs.read_summary, runs.read_config])
def test_a_folder_that_is_no_run_is_explained(read: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run directory: its .* cannot be read"):
        read(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        read(tmp_path / "nowhere")


# --- checkpoints ----------------------------------------------------------------------------------------------------

CONTENT = {
    "state_dict": {"weight": torch.arange(12.0).view(3, 4), "bias": torch.tensor([1.0, 2.0, 3.0])},
    "epoch": 3,
    "name": "x",
}


def checkpoint_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save(CONTENT, buffer)
    return buffer.getvalue()


def is_content(loaded: dict[str, Any]) -> bool:
    tensors, expected = loaded["state_dict"], CONTENT["state_dict"]
    assert isinstance(expected, dict)
    same = all(torch.equal(tensors[key], value) for key, value in expected.items())
    return same and loaded.keys() == CONTENT.keys() and (loaded["epoch"], loaded["name"]) == (3, "x")


def test_a_whole_checkpoint_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(checkpoint_bytes())
    assert is_content(runs.load_checkpoint(tmp_path / "last.ckpt"))


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"last\.ckpt is damaged: it is not there"):
        runs.load_checkpoint(tmp_path / "last.ckpt")


def test_a_truncated_checkpoint_is_damaged_wherever_it_ends(tmp_path: Path) -> None:
    whole, path = checkpoint_bytes(), tmp_path / "last.ckpt"
    for length in [0, 1, *range(10, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="is damaged"):
            runs.load_checkpoint(path)


def test_a_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    """A zip file has bits that mean nothing, such as its padding; every other one must be noticed."""
    whole, path, noticed = checkpoint_bytes(), tmp_path / "last.ckpt", 0
    draws = random.Random(0)
    for place in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << draws.randrange(8)
        path.write_bytes(flipped)
        try:
            assert is_content(runs.load_checkpoint(path)), place
        except UserError:
            noticed += 1
    assert noticed > 100


@pytest.mark.parametrize("piece", [b"data.pkl", torch.arange(12.0).numpy().tobytes()], ids=["pickle", "tensor"])
def test_a_flipped_bit_in_a_value_is_always_noticed(piece: bytes, tmp_path: Path) -> None:
    whole, path = checkpoint_bytes(), tmp_path / "last.ckpt"
    begin = whole.index(piece)
    for place in range(begin, begin + len(piece)):
        flipped = bytearray(whole)
        flipped[place] ^= 16
        path.write_bytes(flipped)
        with pytest.raises(UserError, match=r"last\.ckpt is damaged"):
            runs.load_checkpoint(path)


def test_random_bytes_are_damaged(tmp_path: Path) -> None:
    for seed in range(20):
        (tmp_path / "last.ckpt").write_bytes(random.Random(seed).randbytes(seed * 50))
        with pytest.raises(UserError, match="is damaged"):
            runs.load_checkpoint(tmp_path / "last.ckpt")


class Bomb:
    """A pickle of it writes a file when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("form", ["zip", "bare pickle", "torch before 1.6"])
def test_a_checkpoint_with_code_is_refused_and_the_code_not_run(form: str, tmp_path: Path) -> None:
    target, path = tmp_path / "executed", tmp_path / "last.ckpt"
    content = {"state_dict": {}, "epoch": Bomb(target)}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError) as caught:
        runs.load_checkpoint(path)
    assert not target.exists()
    assert str(path) in str(caught.value)
    if form == "zip":
        assert "holds more than tensors and plain values" in str(caught.value)
        torch.load(path, weights_only=False)
        assert target.exists()  # the bomb works


def run_with(tmp_path: Path, **contents: bytes) -> Path:
    (tmp_path / "checkpoints").mkdir()
    for name, content in contents.items():
        (tmp_path / "checkpoints" / f"{name}.ckpt").write_bytes(content)
    return tmp_path


def test_the_last_checkpoint_is_the_one_to_go_on_from(tmp_path: Path) -> None:
    run_dir = run_with(tmp_path, last=checkpoint_bytes(), best=checkpoint_bytes())
    assert runs.newest_checkpoint(run_dir) == (run_dir / "checkpoints" / "last.ckpt", [])


def test_a_damaged_last_checkpoint_is_complained_of_and_the_best_taken(tmp_path: Path) -> None:
    run_dir = run_with(tmp_path, last=checkpoint_bytes()[:-100], best=checkpoint_bytes())
    path, complaints = runs.newest_checkpoint(run_dir)
    assert path == run_dir / "checkpoints" / "best.ckpt"
    assert len(complaints) == 1
    assert f"{run_dir / 'checkpoints' / 'last.ckpt'} is damaged" in complaints[0]


def test_a_missing_last_checkpoint_is_replaced_by_the_best(tmp_path: Path) -> None:
    run_dir = run_with(tmp_path, best=checkpoint_bytes())
    assert runs.newest_checkpoint(run_dir)[0] == run_dir / "checkpoints" / "best.ckpt"


def test_two_damaged_checkpoints_are_both_named(tmp_path: Path) -> None:
    run_dir = run_with(tmp_path, last=b"", best=b"junk")
    with pytest.raises(UserError, match="no checkpoint that can be used") as caught:
        runs.newest_checkpoint(run_dir)
    assert "last.ckpt is damaged" in str(caught.value)
    assert "best.ckpt is damaged" in str(caught.value)


def test_a_run_without_checkpoints_begins_anew(tmp_path: Path) -> None:
    assert runs.newest_checkpoint(run_with(tmp_path)) == (None, [])


# --- identity -------------------------------------------------------------------------------------------------------

CONFIG = """
seed: 0
name: null
runs_dir: runs
resume: null
debug: false
data: {root: "${oc.env:CONVLINE_DATA,data}", batch_size: 128, shape: [1, 28, 28], same: "${data.batch_size}"}
model: {_target_: m, pattern: CONV(6) -> FC}
optimizer: {_target_: o, lr: 0.1}
scheduler: {_target_: s, warmup: 0.0}
trainer: {max_epochs: 5, profiler: null, log_every_n_steps: 50}
callbacks: {checkpoint: {monitor: val/acc}, progress: {_target_: p}}
logger: {csv: {_target_: l}}
"""


def config(**changes: Any) -> DictConfig:
    cfg = OmegaConf.create(CONFIG)
    assert isinstance(cfg, DictConfig)
    for key, value in changes.items():
        OmegaConf.update(cfg, key, value)
    return cfg


def identity(changes: dict[str, Any] | None = None, code: str = "code", data: str = "data") -> str:
    return provenance.identity(config(**(changes or {})), code, data)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"runs_dir": "elsewhere"},
        {"logger": None},
        {"logger.tensorboard": {"_target_": "t"}},
        {"data.root": "elsewhere"},
        {"trainer.profiler": "simple"},
        {"trainer.log_every_n_steps": 1},
        {"callbacks.progress": None},
    ],
    ids=str,
)
def test_identity_does_not_see_where_or_how_a_run_is_written(changes: dict[str, Any]) -> None:
    assert identity(changes) == identity()


def test_identity_does_not_see_the_data_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVLINE_DATA", "a")
    first = identity()
    monkeypatch.setenv("CONVLINE_DATA", "b")
    assert identity() == first


def test_identity_sees_all_that_decides_what_is_computed() -> None:
    changes = [
        {},
        {"seed": 1},
        {"seed": None},
        {"optimizer.lr": 0.01},
        {"model.pattern": "CONV(7) -> FC"},
        {"data.batch_size": 64},
        {"data.shape": [28, 28, 1]},
        {"scheduler.warmup": 0.1},
        {"trainer.max_epochs": 6},
        {"callbacks.checkpoint.monitor": "val/loss"},
    ]
    identities = [identity(change) for change in changes]
    identities += [identity(code="other"), identity(data="other"), identity(code="coded", data="ata")]
    assert len(set(identities)) == len(identities)
    assert all(len(value) == 16 for value in identities)


def test_identity_sees_neither_the_order_of_keys_nor_interpolations() -> None:
    plain = OmegaConf.to_container(config(), resolve=True)
    assert isinstance(plain, dict)
    turned = OmegaConf.create(dict(reversed(plain.items())))
    assert provenance.identity(turned, "code", "data") == identity()


def test_identity_leaves_the_config_as_it_was() -> None:
    cfg = config()
    provenance.identity(cfg, "code", "data")
    assert cfg == config()


def test_identity_is_the_same_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    code = (
        "import sys; from omegaconf import OmegaConf; from convline import provenance; "
        "print(provenance.identity(OmegaConf.load(sys.argv[1]), 'code', 'data'))"
    )
    done = shell(sys.executable, "-c", code, str(tmp_path / "config.yaml"), PYTHONHASHSEED="1")
    assert done.status == 0, done.err
    assert done.out.strip() == identity()


# --- environment ----------------------------------------------------------------------------------------------------


def test_environment_is_json_and_names_code_versions_hardware_and_data() -> None:
    content = json.loads(json.dumps(provenance.environment("abc")))
    assert content["data_fingerprint"] == "abc"
    assert content["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert content["hardware"]["cores"] == os.cpu_count()
    assert content["code"].keys() >= {"version", "commit", "dirty", "changes"}
