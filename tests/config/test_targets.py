"""Arguments of foreign targets are checked against their signature before anything is trained."""

import sys
from pathlib import Path

import pytest

from convline.config import load, load_config
from convline.config.signatures import locate
from convline.errors import UserError

MODULE = """
from dataclasses import dataclass
from typing import Literal

from torch import nn


class Net(nn.Module):
    def __init__(self, width: int, num_classes: int, kind: Literal["a", "b"] = "a", sizes: tuple[int, ...] = ()):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))

    def forward(self, images):
        return self.layers(images)


def anything(**arguments):
    return nn.Identity()


NUMBER = 3
"""
NET = ["model._target_=own_targets.Net"]
NADAM = ["optimizer._target_=torch.optim.NAdam"]


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load._print_once.cache_clear()
    (tmp_path / "own_targets.py").write_text(MODULE)
    (tmp_path / "broken_targets.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "unreadable_targets.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


WRONG = {
    "no module": (["model._target_=own_targetz.Net"], "there is no module own_targetz"),
    "no class": (["model._target_=own_targets.Nett"], "no Nett in own_targets .did you mean 'Net'"),
    "no submodule": (["optimizer._target_=torch.optimm.SGD"], "no optimm in torch .did you mean 'optim'"),
    "module that imports what is not there": (["model._target_=broken_targets.Net"], "nothing_of_this_name"),
    "module with a syntax error": (["model._target_=unreadable_targets.Net"], "SyntaxError"),
    "not callable": (["model._target_=own_targets.NUMBER"], "is int, which cannot be called"),
    "missing argument": (NET, "needs the argument width"),
    "unknown argument": ([*NET, "model.width=4", "model.kindd=a"], "no such argument .did you mean 'kind'"),
    "unknown argument with +": ([*NET, "model.width=4", "+model.depth=4"], "It has: width, num_classes, kind, sizes"),
    "text for a number": ([*NET, "model.width=wide"], "model.width=wide: .* expects int"),
    "number with a point for a whole one": ([*NET, "model.width=1.5"], "model.width=1.5: .* expects int"),
    "none for a number": ([*NET, "model.width=null"], "model.width=None: .* expects int"),
    "list for a number": ([*NET, "model.width=[1]"], "expects int"),
    "none of the literals": ([*NET, "model.width=4", "model.kind=c"], "expects one of a, b"),
    "list of another type": ([*NET, "model.width=4", "model.sizes=[a]"], "expects tuple"),
    "argument of a torch optimizer": (
        [*NADAM, "optimizer.momentum=0.9"],
        "optimizer.momentum: torch.optim.NAdam has no",
    ),
    "misspelt argument of one": ([*NADAM, "optimizer.weight_dekay=0"], "did you mean 'weight_decay'"),
    "range of a known argument": ([*NADAM, "optimizer.lr=0"], "lr"),
    "callback": (
        [
            "+callbacks.lr._target_=lightning.pytorch.callbacks.LearningRateMonitor",
            "+callbacks.lr.logging_intervall=step",
        ],
        "did you mean 'logging_interval'",
    ),
    "callback that is not there": (
        ["+callbacks.lr._target_=lightning.pytorch.callbacks.LearningRateMonitr"],
        "did you mean 'LearningRateMonitor'",
    ),
    "logger": (
        ["+logger.more._target_=lightning.pytorch.loggers.CSVLogger", "+logger.more.nme=x"],
        "did you mean 'name'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_explained(case: str) -> None:
    words, message = WRONG[case]
    with pytest.raises(UserError, match=message):
        load_config(words)


def test_a_typed_target_keeps_what_it_understands_and_says_what_it_drops(capsys: pytest.CaptureFixture[str]) -> None:
    cfg = load_config([*NADAM, "optimizer.momentum_decay=0.01"])
    assert dict(cfg.optimizer) == {
        "_target_": "torch.optim.NAdam",
        "_partial_": True,
        "lr": 0.05,  # of optimizer=sgd, as is the weight decay
        "weight_decay": 0.0005,
        "no_decay": [],
        "layer_decay": None,
        "groups": None,
        "momentum_decay": 0.01,
    }
    out = capsys.readouterr().out
    assert out == "torch.optim.NAdam has no fused, momentum, nesterov: left out of optimizer=sgd\n"


def test_a_function_that_takes_anything_keeps_everything() -> None:
    cfg = load_config(["model._target_=own_targets.anything", "model.depth=3"])
    assert cfg.model.depth == 3
    assert cfg.model.num_classes == 10


def test_lists_are_tuples_and_whole_numbers_are_numbers() -> None:
    cfg = load_config(
        [*NET, "model.width=4", "model.sizes=[1,2]", *NADAM, "optimizer.lr=1", "optimizer.betas=[0.9,0.99]"]
    )
    assert cfg.model.sizes == [1, 2]
    assert cfg.optimizer.betas == [0.9, 0.99]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"pip install 'convline\[optimizers\]'"):
        load_config(["optimizer=lion"])


def test_an_object_that_hides_the_module_of_its_name_is_located() -> None:
    from convline.data.sources import digits

    assert locate("convline.data.sources.digits", "data.source._target_") is digits


@pytest.mark.parametrize(
    ("words", "dropped", "kept"),
    [
        # **kwargs take any name: what belongs to the replaced option is dropped there too
        (["model._target_=torchvision.models.resnet18"], {"pattern", "init", "input_shape"}, {"num_classes"}),
        (["optimizer._target_=pytorch_optimizer.AdaBelief"], {"momentum", "nesterov", "fused"}, {"lr"}),
    ],
)
def test_a_target_with_any_arguments_loses_those_of_the_replaced_option(
    words: list[str], dropped: set[str], kept: set[str]
) -> None:
    node = load_config(words)[words[0].partition(".")[0]]
    assert not dropped & set(node)
    assert kept <= set(node)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+callbacks.foo.bar=1", r"callbacks.foo names no class"),
        ("metrics=[{name: r}]", "names no class"),
        (
            "metrics=[{_target_: torchmetrics.classification.MulticlassRecall, num_classes: 10, name: acc}]",
            "metrics: acc",
        ),
    ],
)
def test_what_names_no_class_or_takes_a_name_of_ours_is_refused(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_config([word])
