"""Signals: held back where they cannot be answered, and never lost."""

import os
import signal
import time

import pytest

from convline.errors import Interrupted
from convline.signals import signals_blocked, stoppable


def test_a_signal_that_is_held_back_is_delivered_at_the_end_of_the_block() -> None:
    steps = []

    def hold_back() -> None:
        with stoppable(""):
            with signals_blocked():
                os.kill(os.getpid(), signal.SIGTERM)
                steps.append("within")
            steps.append("after")

    with pytest.raises(Interrupted):
        hold_back()
    assert steps == ["within"]


class KillsItsEnd:
    """Sends a signal in its destructor, where Python prints exceptions and goes on."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_in_a_destructor_stops_the_run_too(capfd: pytest.CaptureFixture[str]) -> None:
    def lose() -> None:
        with stoppable(""):
            KillsItsEnd()
            time.sleep(10)

    with pytest.raises(Interrupted):
        lose()
    assert capfd.readouterr().err == ""
