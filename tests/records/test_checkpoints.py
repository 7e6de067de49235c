"""Checkpoints are read with suspicion: missing, damaged or with code in them; which one a run goes on from."""

import io
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from convline.errors import UserError
from convline.records.checkpoints import load_checkpoint, load_weights, newest_checkpoint

CONTENT = {
    "state_dict": {"weight": torch.arange(12.0).view(3, 4), "bias": torch.tensor([1.0, 2.0, 3.0])},
    "epoch": 3,
    "name": "x",
    # without these, training cannot go on
    "global_step": 30,
    "loops": {},
    "callbacks": {},
    "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}],
    "lr_schedulers": [],
    "train_sums": [[0.0, 0.0, 0, 0]],
    "rng": {},
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
    assert is_content(load_checkpoint(tmp_path / "last.ckpt"))


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"last\.ckpt is missing"):
        load_checkpoint(tmp_path / "last.ckpt")


def test_a_truncated_checkpoint_is_damaged_wherever_it_ends(tmp_path: Path) -> None:
    whole, path = checkpoint_bytes(), tmp_path / "last.ckpt"
    for length in [0, 1, *range(10, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="is damaged"):
            load_checkpoint(path)


def test_a_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    """A zip file has bits that mean nothing, such as its padding; every other one must be noticed."""
    whole, path, noticed = checkpoint_bytes(), tmp_path / "last.ckpt", 0
    draws = random.Random(0)
    for place in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << draws.randrange(8)
        path.write_bytes(flipped)
        try:
            assert is_content(load_checkpoint(path)), place
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
            load_checkpoint(path)


def test_random_bytes_are_damaged(tmp_path: Path) -> None:
    for seed in range(20):
        (tmp_path / "last.ckpt").write_bytes(random.Random(seed).randbytes(seed * 50))
        with pytest.raises(UserError, match="is damaged"):
            load_checkpoint(tmp_path / "last.ckpt")


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
        load_checkpoint(path)
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
    assert newest_checkpoint(run_dir) == (run_dir / "checkpoints" / "last.ckpt", [])


def test_a_damaged_last_checkpoint_is_complained_of_and_the_best_taken(tmp_path: Path) -> None:
    run_dir = run_with(tmp_path, last=checkpoint_bytes()[:-100], best=checkpoint_bytes())
    path, complaints = newest_checkpoint(run_dir)
    assert path == run_dir / "checkpoints" / "best.ckpt"
    assert len(complaints) == 1
    assert f"{run_dir / 'checkpoints' / 'last.ckpt'} is damaged" in complaints[0]


def test_a_missing_last_checkpoint_is_replaced_by_the_best(tmp_path: Path) -> None:
    run_dir = run_with(tmp_path, best=checkpoint_bytes())
    assert newest_checkpoint(run_dir)[0] == run_dir / "checkpoints" / "best.ckpt"


def test_two_damaged_checkpoints_are_both_named(tmp_path: Path) -> None:
    run_dir = run_with(tmp_path, last=b"", best=b"junk")
    with pytest.raises(UserError, match="no checkpoint that can be used") as caught:
        newest_checkpoint(run_dir)
    assert "last.ckpt is damaged" in str(caught.value)
    assert "best.ckpt is damaged" in str(caught.value)


def test_a_run_without_checkpoints_begins_anew(tmp_path: Path) -> None:
    assert newest_checkpoint(run_with(tmp_path)) == (None, [])


OTHER_CONTENTS: dict[str, dict[str, Any]] = {
    "a number for weights": {"state_dict": 5},
    "a list in a tensor's place": {"state_dict": {"weight": [1.0]}},
    "nothing in a tensor's place": {"state_dict": {"weight": None}},
    "a number for a name": {"state_dict": {3: torch.zeros(1)}},
}


@pytest.mark.parametrize("case", OTHER_CONTENTS)
def test_what_holds_no_tensors_is_damaged(case: str, tmp_path: Path) -> None:
    torch.save({**CONTENT, **OTHER_CONTENTS[case]}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"last\.ckpt is damaged"):
        load_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("key", ["global_step", "loops", "callbacks", "optimizer_states", "train_sums", "rng", "epoch"])
@pytest.mark.parametrize("value", ["missing", "x", -1, [], [5]])
def test_training_goes_on_from_no_checkpoint_without_its_state(key: str, value: Any, tmp_path: Path) -> None:
    content = {**CONTENT, key: value}
    if value == "missing":
        del content[key]
    (tmp_path / "checkpoints").mkdir()
    torch.save(content, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(UserError, match=f"none that training goes on from: .*{key}"):
        newest_checkpoint(tmp_path)


def test_a_compressed_file_a_folder_a_pipe_and_a_link_to_itself_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "packed.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"0" * 10**6)
    (tmp_path / "folder.ckpt").mkdir()
    os.mkfifo(tmp_path / "pipe.ckpt")
    (tmp_path / "link.ckpt").symlink_to("link.ckpt")
    problems = {"packed": "it is compressed", "folder": "a folder", "pipe": "a pipe", "link": "symbolic links"}
    for name, problem in problems.items():
        with pytest.raises(UserError, match=problem):
            load_checkpoint(tmp_path / f"{name}.ckpt")


def test_weights_of_another_network_are_named() -> None:
    network, path = torch.nn.Linear(4, 3), Path("best.ckpt")
    weights = network.state_dict()
    for changed, problem in (
        ({**weights, "zzz": torch.zeros(1)}, "zzz is none of the network"),
        ({"bias": weights["bias"]}, "weight is missing"),
        ({**weights, "weight": torch.zeros(5, 3)}, "weight is 5×3 instead of 3×4"),
        ({**weights, "bias": torch.zeros(3, dtype=torch.complex64)}, "bias holds complex numbers"),
    ):
        with pytest.raises(UserError, match=problem):
            load_weights(network, changed, path)
    load_weights(network, weights, path)
