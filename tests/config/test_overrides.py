"""Words of the command line: which values need quotes, and what may stand beside `resume=`."""

import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from convline.config.load import expand_home, prepare
from convline.config.overrides import moved_data_root, parse_overrides, resumed_run
from convline.errors import UserError


@pytest.mark.parametrize(
    "value",
    ["Müller", "照片", "run#3", "a=b", "~/my photos", "/mnt/Übung 3/Bilder", "50% & more;", "what?!", "name\udce9"],
)
def test_a_value_that_can_only_be_a_text_needs_no_quotes(value: str) -> None:
    (parsed,) = parse_overrides(prepare([f"name={value}"]))
    assert parsed.value() == value


@pytest.mark.parametrize("word", ["name=try(1)", "seed=1,ü", "model.pattern=CONV(8) -> FC", "name=[a", 'name="a'])
def test_a_value_that_may_be_something_else_is_shown_with_quotes(word: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_overrides(prepare([word]))
    assert word in str(caught.value)
    (typed,) = shlex.split(str(caught.value).rpartition("quote it twice: ")[2])
    (parsed,) = parse_overrides([typed])
    assert parsed.value() == word.partition("=")[2]


def test_what_hydra_reads_stays_as_it_is() -> None:
    words = ["model=lenet", "seed=0,1", "data.augment=[]", "optimizer.lr=range(1,3)", "~callbacks", "name='a b'", "-m"]
    assert prepare(words) == words
    digits = "seed=" + "9" * 5000  # Python reads no number of so many
    assert prepare([digits]) == [digits]


def test_the_home_folder_may_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("CONVLINE_DATA", "~/data")
    cfg = OmegaConf.create({"data": {"root": "${oc.env:CONVLINE_DATA}"}, "runs_dir": "~/runs"})
    expand_home(cfg)
    assert (cfg.data.root, cfg.runs_dir) == ("/home/ada/data", "/home/ada/runs")
    run = resumed_run(["resume=~/runs/one"])
    assert run is not None
    assert run.run_dir == Path("/home/ada/runs/one")


def test_the_folder_of_moved_data_stands_beside_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moved").mkdir()
    run = resumed_run(["resume=runs/one", "data.root=moved", "trainer.devices=2"])
    assert run == (Path("runs/one"), 2, str(tmp_path / "moved"))
    assert moved_data_root([]) is None
    with pytest.raises(UserError, match="no such folder"):
        moved_data_root(["data.root=nowhere"])
    with pytest.raises(UserError, match="seed=1 would have no effect"):
        moved_data_root(["seed=1"])
