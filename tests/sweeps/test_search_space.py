"""Spaces in Hydra's words, and searches that are refused."""

from pathlib import Path
from typing import Any

import pytest

from convline.errors import UserError
from convline.sweeps.search_space import parse_space
from support.commands import train
from support.searching import SEARCH, trial_dirs
from support.sweeping import TINY


class TestSpace:
    def dimension(self, word: str) -> Any:
        return parse_space([word], {})[1][0]

    @pytest.mark.parametrize(
        ("word", "wanted"),
        [
            ("optimizer.lr=interval(0.1,1)", "FloatDistribution(high=1.0, log=False, low=0.1, step=None)"),
            ("optimizer.lr=tag(log,interval(0.1,1))", "FloatDistribution(high=1.0, log=True, low=0.1, step=None)"),
            ("data.batch_size=int(interval(8,64))", "IntDistribution(high=64, log=False, low=8, step=1)"),
            ("data.batch_size=tag(log,int(interval(8,64)))", "IntDistribution(high=64, log=True, low=8, step=1)"),
            ("data.batch_size=range(8,64,8)", "IntDistribution(high=56, log=False, low=8, step=8)"),
            ("optimizer.momentum=range(0.5,0.85,0.1)", "FloatDistribution(high=0.8, log=False, low=0.5, step=0.1)"),
            ("model=lenet,dense", "CategoricalDistribution(choices=('lenet', 'dense'))"),
            ("optimizer.momentum=choice(0,0.9)", "CategoricalDistribution(choices=(0, 0.9))"),
            ("optimizer.nesterov=true,false", "CategoricalDistribution(choices=(True, False))"),
            ("data.input_shape=[1,8,8],[1,9,9]", "CategoricalDistribution(choices=('[1,8,8]', '[1,9,9]'))"),
        ],
    )
    def test_words_of_hydra_are_distributions(self, word: str, wanted: str) -> None:
        assert str(self.dimension(word).distribution) == wanted

    def test_values_are_typed_so_that_hydra_reads_them(self) -> None:
        patterns = self.dimension('model.pattern="CONV(4) -> FC","FC"')
        assert [patterns.override(value) for value in patterns.extremes()] == [
            'model.pattern="CONV(4) -> FC"',
            'model.pattern="FC"',
        ]
        assert self.dimension("optimizer.lr=interval(0.1,1)").override(0.12345678901) == "optimizer.lr=0.12345678901"
        flags = self.dimension("a=true,1")
        assert [flags.override(True), flags.override(1)] == ["a=True", "a=1"]

    def test_grids_of_ranges(self) -> None:
        assert self.dimension("data.batch_size=range(8,33,8)").grid() == [8, 16, 24, 32]
        with pytest.raises(UserError, match="lists and ranges alone"):
            self.dimension("optimizer.lr=interval(0.1,1)").grid()

    def test_the_command_line_goes_before_the_file(self) -> None:
        words = ["optimizer.lr=0.1", "data.batch_size=8,16"]
        fixed, dimensions = parse_space(
            words, {"optimizer.lr": "interval(0,1)", "data.batch_size": "32,64", "optimizer.momentum": "0.8,0.9"}
        )
        assert fixed == ["optimizer.lr=0.1"]
        assert [(d.key, d.extremes()) for d in dimensions] == [
            ("data.batch_size", [8, 16]),
            ("optimizer.momentum", [0.8, 0.9]),
        ]

    @pytest.mark.parametrize(
        ("word", "told"),
        [
            ("optimizer.lr=0.1", "needs something to search"),
            ("optimizer.lr=interval(1,0.1)", "from a lower to a higher"),
            ("optimizer.lr=tag(log,interval(0,1))", "above 0"),
            ("data.batch_size=range(8,9)", "several numbers"),
            ("seed=0,1", "seeds=5"),
        ],
    )
    def test_what_cannot_be_searched_is_refused(self, word: str, told: str) -> None:
        with pytest.raises(UserError, match=told):
            parse_space([word], {})


class TestChecks:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["sweep.objectives=[test/acc]"], "sweep.objectives=[val/acc]"),
            (["sweep.objectives=[accuracy]"], "it may have: val/acc"),
            (["sweep.objectives=[val/acc,macs]", "sweep/pruner=median"], "a pruner compares one"),
            (["sweep.objectives=[val/acc,macs]", "sweep/sampler=cmaes"], "sweep/sampler=nsgaii"),
            (["sweep.storage=study.db"], "no URL"),
            (["sweep.storage=postgresql+psycopg://me:secret@localhost/x"], "PGPASSWORD"),
            (["optimizer.lr=interval(-1,1)"], "optimizer.lr=-1.0 is out of range"),
            (["sweep/sampler=grid"], "sweep/sampler=grid takes lists and ranges alone"),
            (["sweep/sampler=tpee"], "did you mean 'tpe'"),
            (["rerun=all"], "sweep.seed=1"),
        ],
        ids=str,
    )
    def test_a_wrong_search_is_refused_on_one_screen(self, words: list[str], told: str, tmp_path: Path) -> None:
        first = [word for word in SEARCH if word.split("=")[0] != words[0].split("=")[0]]
        done = train(tmp_path, *first, *words)
        assert done.status == 1
        assert done.err.startswith("error: ")
        assert told in done.err
        assert "Traceback" not in done.err
        assert "secret" not in str([path.read_bytes() for path in tmp_path.rglob("*.yaml")])
        assert trial_dirs(tmp_path) == []

    def test_an_interval_needs_a_search(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", *TINY, "optimizer.lr=interval(0.1,1)")
        assert done.status == 1
        assert "hydra/sweeper=search" in done.err
