"""convline describe: figures, preflight, files, and mistakes."""

import json
from xml.etree import ElementTree as ET

import pytest

from convline.commands.describe import describe
from convline.errors import UserError


def test_one_network_is_printed_with_its_sums_and_remarks(capsys):
    assert describe(["model=lenet", "data=mnist"]) == 0
    out = capsys.readouterr().out
    assert "61,706" in out
    assert "416,520" in out
    assert "16×10×10" in out
    assert "78 % of the parameters sit in fc1" in out


def test_published_models_need_nothing_else(capsys):
    assert describe(["model=imagenet/vgg16"], json_file="-") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["parameters"], figures["macs"]) == (138_357_544, 15_470_264_320)
    assert {"name", "output_shape", "parameters", "macs", "receptive_field"} <= set(figures["layers"][0])


def test_json_and_drawing_go_to_files(tmp_path, capsys):
    describe(["model=resnet20", "data=cifar10"], str(tmp_path / "net.json"), tmp_path / "net.svg")
    assert json.loads((tmp_path / "net.json").read_text())["parameters"] == 269_722
    assert ET.parse(tmp_path / "net.svg").getroot().tag.endswith("svg")
    assert "269,722" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"nowhere/x\.svg cannot be written"):
        describe(["model=lenet"], draw=tmp_path / "nowhere" / "x.svg")


def test_a_sweep_is_one_line_each_and_marks_the_impossible(capsys):
    assert describe(["model=pattern", "data=digits", "model.N=1", "model.M=3,4"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "model.M=" in line]
    assert ["impossible" in line for line in lines[1:]] == [False, True]
    assert "POOL (stage4.pool1) needs a map of at least 2×2, but gets 32×1×1" in lines[-1]
    assert describe(["model=pattern", "model.M=range(1,4)"], json_file="-") == 0
    figures = json.loads(capsys.readouterr().out)
    assert [entry["overrides"][-1] for entry in figures] == ["model.M=1", "model.M=2", "model.M=3"]
    with pytest.raises(UserError, match="draws one network, but these settings choose 2"):
        describe(["model=lenet,dense"], draw="x.svg")


def test_numbers_are_whole_or_left_out_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    describe(["model=resnet20", "data=cifar10"])
    lines = capsys.readouterr().out.splitlines()
    assert "269,722" in next(line for line in lines if line.strip().startswith("sum"))
    assert "…" not in "".join(lines[1:])
    assert max(map(len, lines)) <= 80
    describe(["model=pattern", "data=digits", "model.N=1", "model.M=3,4"])
    text = " ".join(capsys.readouterr().out.split())
    assert "impossible: pattern" in text
    assert "…" not in text


def test_any_module_can_be_described(capsys):
    overrides = ["~model", "+model._target_=torchvision.models.resnet18", "data=cifar10"]
    assert describe(overrides, json_file="-") == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 11_689_512


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["model=pattern", "model.N=x"], "N is 'x'"),
        (["model=pattern", "+model.Q=3"], "'Q' has no effect"),
        (["model=pattern", "model.pattern='CONV -> RELLU -> FC'"], "did you mean 'relu'?"),
        (["model=lenet", "model._target_=torch.nn.NoSuchThing"], "NoSuchThing"),
        (["~model", "+model._target_=math.sqrt", "+model._args_=[4]"], "must give a torch.nn.Module"),
    ],
)
def test_mistakes_are_told_in_a_user_error(overrides, says):
    with pytest.raises(UserError) as caught:
        describe(overrides)
    assert says in str(caught.value)
