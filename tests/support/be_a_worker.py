"""A worker process for a test: in a module that a process with a fresh interpreter can import."""

import time
from typing import Any

from convline.data.streaming import keep_out_of_signals


def be_a_worker(ready: Any) -> None:
    """Protect this process from signals, set the event `ready`, and wait to be ended."""
    keep_out_of_signals(0)
    ready.set()
    time.sleep(60)
