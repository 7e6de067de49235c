"""Start the ranks of a run on this machine with torch's elastic agent, the engine of torchrun.

Lightning's own launcher runs the command line again in every rank. In a sweep, each rank would then repeat the sweep
instead of training the current job. Here a rank gets the run directory alone, and reads its config there. This process
does not train: the agent watches the ranks, and if one dies, ends the others, which would wait for it for ever.
"""

import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from convline.errors import STOP_SIGNALS, Interrupted, Pruned, UserError
from convline.machine import num_cores
from convline.run.child_process import PARENT_PID, import_path

PRUNED_STATUS = 3  # exit status of the first rank if the run was pruned
ERROR_FILE = "rank-error.txt"  # in the run directory: the error of the rank that failed
SHUTDOWN_SECONDS = 300  # for the ranks to save their state after a signal; then they are killed
# that the agent passes on to the ranks
_SIGNALS = (*STOP_SIGNALS, *(getattr(signal, name) for name in ("SIGHUP", "SIGQUIT") if hasattr(signal, name)))


def run_on_ranks(run_dir: Path, num_ranks: int, minutes: float, hint: str) -> None:
    """Train and test a run with one process a rank, and wait until all have ended.

    Args:
        run_dir: the run directory, which this process has locked.
        num_ranks: number of ranks.
        minutes: how long the ranks wait for each other.
        hint: the command that continues the run after an interruption.
    Raises:
        Interrupted: one of the `STOP_SIGNALS` was received; the ranks have saved their state.
        Pruned: the search pruned the run.
        UserError: a rank failed.
    """
    error_file = run_dir / ERROR_FILE
    error_file.unlink(missing_ok=True)
    # A rank writes to the descriptors 1 and 2. Where sys.stdout is something else, such as the log of a sweep's job or
    # the output of a notebook's cell, the agent copies the lines of the first rank to it.
    is_replaced = sys.stdout is not sys.__stdout__
    folder = TemporaryDirectory(prefix="convline_ranks_")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_ranks,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        rdzv_configs={"timeout": int(60 * minutes)},
        local_addr="127.0.0.1",
        max_restarts=0,
        shutdown_timeout=SHUTDOWN_SECONDS,
        signals_to_handle=",".join(signum.name for signum in _SIGNALS),
        logs_specs=DefaultLogsSpecs(folder.name, tee={0: Std.ALL} if is_replaced else Std.NONE),
        role="",
        log_line_prefix_template="${role_name}",  # which is empty: no prefix
    )
    try:
        with folder, _environment_of_ranks(num_ranks, is_replaced), _signal_handlers_kept(), _agent_silent():
            # -P: Python would put the current folder first on the path, where a file random.py shadows the module
            elastic_launch(config, sys.executable)("-P", "-m", "convline.run.rank_process", str(run_dir))
    except SignalException as stop:
        raise Interrupted(stop.sigval, hint) from None
    except ChildFailedError as error:
        statuses = {rank: failure.exitcode for rank, failure in error.failures.items()}
        # First, because the agent ends the other ranks with SIGTERM: they take it for an interruption, or die of it.
        if killed := [rank for rank, status in statuses.items() if status < 0 and -status not in STOP_SIGNALS]:
            name = signal.Signals(-statuses[killed[0]]).name
            raise UserError(f"rank {killed[0]} of {num_ranks} was killed ({name}).\n  To go on, type: {hint}") from None
        if statuses.get(0) == PRUNED_STATUS:
            raise Pruned from None
        # A scheduler may signal the ranks themselves; before they can answer, they die of it.
        signums = {rank: -status if status < 0 else status - 128 for rank, status in statuses.items()}
        if set(signums.values()) <= {*STOP_SIGNALS}:
            raise Interrupted(next(iter(signums.values())), hint) from None
        if error_file.is_file():
            raise UserError(error_file.read_text()) from None
        raise UserError(f"the ranks of this run ended with the statuses {statuses}.") from None


@contextmanager
def _environment_of_ranks(num_ranks: int, is_replaced: bool) -> Iterator[None]:
    """Set what the ranks inherit: the import path and the id of this process, and a share of the processor cores.

    Where their output is copied line by line, they must not draw a progress bar, which a notebook's variables ask for.
    """
    before = dict(os.environ)
    os.environ[PARENT_PID] = str(os.getpid())
    os.environ["PYTHONPATH"] = import_path()
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE") if is_replaced else ():
        os.environ.pop(name, None)
    cores = num_cores()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // num_ranks)))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Restore the handlers that the agent replaces."""
    handlers = {s: signal.getsignal(s) for s in _SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in handlers.items():
                signal.signal(signum, handler)


@contextmanager
def _agent_silent() -> Iterator[None]:
    """Hide the agent's log lines about signals and exit statuses, which the messages here repeat in plain words."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
