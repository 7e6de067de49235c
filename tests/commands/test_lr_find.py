"""The learning-rate range test."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convline.commands.lr_find import lowest, range_test, steepest
from convline.config import load_config
from convline.errors import UserError
from support.commands import assert_one_screen, convline, run_dirs


def test_the_steepest_point_of_a_curve_by_hand() -> None:
    """The loss falls by 1 from 0.01 to 0.1 and by 0.1 elsewhere; the slope there is between the two points."""
    rates, losses = [1e-3, 1e-2, 1e-1, 1.0, 10.0], [2.3, 2.2, 1.2, 1.1, 3.0]
    assert steepest(rates, losses) in (1e-2, 1e-1)
    assert lowest(rates, losses) == 1.0


@pytest.mark.parametrize(("losses", "message"), [([1.0, 2.0, 3.0], "never fell"), ([1.0], "diverged at once")])
def test_a_curve_without_a_fall_is_refused(losses: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        steepest([0.1, 0.2, 0.3][: len(losses)], losses)


def test_the_test_stops_when_the_loss_diverges_and_changes_no_weights_of_a_run() -> None:
    cfg = load_config(["data=synthetic", "data.source.num_train=300", "data.source.num_test=50", "trainer=cpu"])
    rates = np.geomspace(1e-4, 1e6, 60).tolist()
    tried, losses = range_test(cfg, rates)
    assert tried == rates[: len(tried)]
    assert len(tried) < 60
    assert all(map(math.isfinite, losses))
    assert range_test(cfg, rates) == (tried, losses)  # the same again


def test_an_optimizer_with_a_closure_gets_one() -> None:
    settings = ["data=synthetic", "data.source.num_train=300", "data.source.num_test=50", "trainer=cpu"]
    cfg = load_config([*settings, "optimizer._target_=torch.optim.LBFGS", "channels_last=false"])
    tried, losses = range_test(cfg, np.geomspace(1e-4, 1e-3, 3).tolist())
    assert len(tried) == len(losses) == 3


def test_the_rate_is_that_of_the_setting_and_groups_with_a_rate_of_their_own_keep_it() -> None:
    settings = ["data=synthetic", "data.source.num_train=300", "data.source.num_test=50", "trainer=cpu"]
    rates = np.geomspace(1e-4, 1e-1, 5).tolist()
    own = load_config([*settings, "optimizer.groups={c*: {lr: 0.001}, f*: {lr: 0.001}}"])
    losses = range_test(own, rates)[1]
    # every group has a rate of its own: it does not matter which rates are tried
    assert range_test(own, [0.01] * 5)[1] == losses
    assert range_test(load_config(settings), rates)[1] != range_test(load_config(settings), [0.01] * 5)[1]


def test_the_command_suggests_a_rate_and_draws_the_curve(tmp_path: Path) -> None:
    done = convline(tmp_path, "lr-find", "trainer=cpu", "--file", "lr.png")
    assert done.status == 0, done.err
    assert "Type: optimizer.lr=" in done.out
    assert Image.open(tmp_path / "lr.png").size == (560, 360)
    assert run_dirs(tmp_path) == []
    assert_one_screen(convline(tmp_path, "lr-find", "--low", "1", "--high", "0.1"), "0 < --low < --high")
    assert_one_screen(convline(tmp_path, "lr-find", "model=lenett"), "did you mean 'lenet'?")
