"""How the process that starts ranks takes their end."""

import io
import os
import signal
import sys
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from convline.errors import Interrupted, Pruned, UserError
from convline.run import launch


def run_with_statuses(statuses: dict[int, int], run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run ranks that end with these statuses."""

    def fail(*command: str) -> None:
        raise ChildFailedError("rank", {rank: failure(rank, status) for rank, status in statuses.items()})

    def failure(rank: int, status: int) -> ProcessFailure:
        return ProcessFailure(local_rank=rank, pid=1, exitcode=status, error_file="")

    monkeypatch.setattr(launch, "elastic_launch", lambda config, entrypoint: fail)
    launch.run_on_ranks(run_dir, 2, 1.0, "python train.py resume=RUN")


def test_ranks_whose_lines_are_copied_draw_no_bar_though_a_notebook_wants_colors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(launch, "elastic_launch", lambda *_: lambda *_: seen.append(os.environ.get("FORCE_COLOR")))
    launch.run_on_ranks(tmp_path, 2, 1.0, "")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    launch.run_on_ranks(tmp_path, 2, 1.0, "")
    assert seen[-1] is None
    assert os.environ["FORCE_COLOR"] == "1"


@pytest.mark.parametrize("statuses", [{0: -15, 1: -15}, {0: 143}, {0: 143, 1: -15}, {1: -15}])
def test_a_signal_that_reaches_the_ranks_interrupts_the_run_wherever_they_are(
    statuses: dict[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted) as stop:
        run_with_statuses(statuses, tmp_path, monkeypatch)
    assert (stop.value.signum, stop.value.hint) == (signal.SIGTERM, "python train.py resume=RUN")


def test_ranks_that_the_agent_ends_after_another_failed_do_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"statuses \{0: -15, 1: 1\}"):
        run_with_statuses({0: -15, 1: 1}, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"rank 1 of 2 was killed \(SIGKILL\)"):
        run_with_statuses({0: -15, 1: -9}, tmp_path, monkeypatch)
    with pytest.raises(Pruned):
        run_with_statuses({0: launch.PRUNED_STATUS, 1: -15}, tmp_path, monkeypatch)
