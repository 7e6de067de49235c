"""Decide which rank this process is, and let the ranks of one run agree before and after they train.

A run has one process a device. Either torchrun or Slurm's `srun` has started these processes, or `launch.py` starts
them with the agent of torchrun, or the run is alone. `join` decides this once; everything else asks the `World`.
Before training, the ranks exchange short values through torch's TCPStore, which is polled from Python: a signal or an
error of another rank ends the wait, where a collective operation of the process group would wait for its time limit.
"""

import json
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from omegaconf import DictConfig, open_dict

from convline.config.trainer_settings import takes_cuda
from convline.errors import Interrupted, UserError
from convline.machine import process_exists
from convline.run.child_process import exit_with_parent

if TYPE_CHECKING:  # they import torch, and errors of the config must be shown without it
    from lightning.pytorch.plugins.environments import ClusterEnvironment
    from torch.distributed import Store

POLL_SECONDS = 0.02
# words of a command line that ask for several ranks; auto may be one
RANK_SETTINGS = ("trainer=ddp", "trainer.devices=", "trainer.num_nodes=")
RECORD_SECONDS = 60.0  # in which the first rank closes loggers and records an interruption
SEEN_SECONDS = 10.0  # in which the other ranks see that the first one has ended its run
CONNECTION_LOST = "the first rank has ended, and with it the connection of the ranks."
FAILURE_SECONDS = 2.0  # in which the failure that broke a connection is reported by its rank
# What torchrun sets for each process that it starts, and this project reads
TORCHRUN_VARIABLES = (
    "RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "MASTER_ADDR",
    "MASTER_PORT",
)  # fmt: skip
# What a launcher sets for its processes. A run that is alone must not hand it on to its own.
RANK_VARIABLES = (*TORCHRUN_VARIABLES, "ROLE_RANK", "NODE_RANK", "ROLE_NAME", "ROLE_WORLD_SIZE")


_num_joined = 0  # runs that this process has joined as one of several ranks


class OtherRankError(UserError):
    """Report on one rank that another one has failed."""


@dataclass
class World:
    """Hold which of a run's ranks this process is; as a context manager, leave the process group at the end.

    Args:
        rank: index of this process; the first rank alone writes, prints and tests.
        size: number of ranks, on all nodes.
        launcher: "torchrun", "srun", or "" if the run is alone.
        minutes: how long a rank waits for the others.
        first_process: host and process id of the first rank.
        num_devices: number of devices on each machine. A process that is alone starts a rank for each of several.
    """

    rank: int = 0
    size: int = 1
    num_devices: int = 1
    num_nodes: int = 1
    launcher: str = ""
    minutes: float = 10.0
    first_process: tuple[str, int] = ("", 0)
    _store: "Store | None" = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Interrupted):
            self._wait_for_first_rank()
        elif error is not None:
            self.fail(error)
        if self._store is not None:
            import torch

            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()

    def environment(self) -> "ClusterEnvironment":
        """Return the environment from which Lightning learns rank and size."""
        from lightning.pytorch.plugins import environments

        return environments.TorchElasticEnvironment() if self.launcher else environments.LightningEnvironment()

    def tell_lightning(self) -> None:
        """Set the rank that Lightning has read from the environment, where it takes SLURM_PROCID too for a rank."""
        from lightning.pytorch.utilities.rank_zero import rank_zero_only

        rank_zero_only.rank = self.rank  # type: ignore[attr-defined]

    def launch_id(self) -> str | None:
        """Name the run of the command of torchrun that has started the first rank; None if torchrun has not.

        It stays the same when torchrun starts the ranks again after a failure, as `--max-restarts` allows.
        """
        if self.launcher != "torchrun":
            return None
        return f"{os.environ['TORCHELASTIC_RUN_ID']} {socket.gethostname()} {os.getppid()} {_num_joined}"

    def is_restarted(self) -> bool:
        """Return whether torchrun has started the ranks again after a failure."""
        return self.launcher == "torchrun" and int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0) > 0

    def exchange(self, name: str, value: object) -> list[Any]:
        """Give a value to the other ranks, wait until each has given one, and return all, in the order of the ranks.

        Args:
            name: what is exchanged, for a message; each name is used once.
            value: anything that JSON can hold.
        Raises:
            OtherRankError: another rank has failed.
            UserError: a rank has not arrived in time.
        """
        if self._store is None:
            return [value]
        self._store.set(f"{name}/{self.rank}", json.dumps(value))
        end = time.monotonic() + 60 * self.minutes
        for rank in range(self.size):
            if not self._wait_for(f"{name}/{rank}", end):
                raise UserError(
                    f"rank {rank} of {self.size} did not arrive within {self.minutes:g} minutes ({name}).\n"
                    "  Look at its output, or give it more time: trainer.rendezvous_minutes=30"
                )
        return [json.loads(self._store.get(f"{name}/{rank}")) for rank in range(self.size)]

    def from_first_rank(self, name: str, make: Callable[[], Any]) -> Any:
        """Call `make` on the first rank, and return its result on all of them."""
        return self.exchange(name, make() if self.rank == 0 else None)[0]

    def check_same(self, what: str, value: object) -> None:
        """Check that a value, or each value of a mapping, is the same on all ranks.

        Raises:
            UserError: the value of a rank differs from the first rank's.
        """
        first, *others = self.exchange(what, value)
        for rank, other in enumerate(others, 1):
            if other != first:
                raise UserError(
                    f"rank {rank} of {self.size} has other {what} than the first rank: {_difference(other, first)}.\n"
                    "  Start all ranks with the same command, code and files."
                )

    def end(self) -> None:
        """Let the other ranks end: the first rank has tested, drawn and recorded."""
        if self._store is None:
            return
        self._store.set("ended", "")
        end = time.monotonic() + SEEN_SECONDS
        with suppress(OtherRankError):  # the store may end with this process: the others must have seen it
            for rank in range(1, self.size):
                self._wait_for(f"end seen/{rank}", end)

    def wait_for_end(self) -> None:
        """Wait until the first rank has ended its run.

        Raises:
            OtherRankError: it has failed.
        """
        if self._store is not None:
            self._wait_for("ended")
            with suppress(RuntimeError):  # it has not waited for this rank
                self._store.set(f"end seen/{self.rank}", "")

    def _wait_for(self, key: str, end: float = math.inf) -> bool:
        """Wait until a rank has set a key, at most until a time of `time.monotonic`; return whether it has.

        Raises:
            OtherRankError: another rank has failed.
        """
        while not self._has(key):
            if failure := self._failure():
                raise OtherRankError(failure)
            if time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _has(self, key: str) -> bool:
        assert self._store is not None
        try:
            return bool(self._store.check([key]))
        except RuntimeError as error:
            raise OtherRankError(CONNECTION_LOST) from error

    def fail(self, error: BaseException) -> None:
        """Tell the other ranks that this one has failed, unless another rank has failed before."""
        if self._store is not None and not isinstance(error, OtherRankError):
            text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            try:
                if not self._store.check(["failure"]):
                    self._store.set("failure", json.dumps([self.rank, socket.gethostname(), text]))
            except RuntimeError:  # the rank that keeps the store has ended
                pass

    def cause_of(self, error: BaseException) -> BaseException:
        """Return the failure of another rank if this rank's error only follows from it, else the error itself."""
        import torch

        # a broken connection; everything else is an error of this rank's own
        if self._store is None or not isinstance(error, RuntimeError | torch.distributed.DistError):
            return error
        end = time.monotonic() + FAILURE_SECONDS
        while time.monotonic() < end:
            if failure := self._failure():
                return OtherRankError(failure)
            time.sleep(POLL_SECONDS)
        return error

    def _wait_for_first_rank(self) -> None:
        """Wait until the first rank has recorded an interruption: launchers end all ranks with the first that ends."""
        end = time.monotonic() + RECORD_SECONDS
        try:
            if self._store is not None and self.rank == 0:
                self._store.set("interrupted", "")
            while self._store is not None and not self._store.check(["interrupted"]) and time.monotonic() < end:
                if self._first_rank_is_gone():
                    break
                time.sleep(POLL_SECONDS)
        except RuntimeError:  # the rank that keeps the store has ended
            pass

    def _first_rank_is_gone(self) -> bool:
        """Return whether the first rank has run on this machine, and its process has ended."""
        host, pid = self.first_process
        return host == socket.gethostname() and not process_exists(pid)

    def _failure(self) -> str | None:
        """Return the text of the first failure of another rank; None if there is none."""
        assert self._store is not None
        try:
            if not self._store.check(["failure"]):
                return None
            rank, host, text = json.loads(self._store.get("failure"))
        except RuntimeError:
            return CONNECTION_LOST
        return None if rank == self.rank else f"rank {rank} of {self.size} on {host} failed: {text}"


def launcher() -> str:
    """Return what has started this process as one of several: "torchrun", "srun", or "" if nothing has."""
    if os.environ.keys() >= {"TORCHELASTIC_RUN_ID", *TORCHRUN_VARIABLES}:  # one alone may have been left behind
        return "torchrun"
    # of the job step; a script of `sbatch --ntasks 2` itself is one process
    return "srun" if int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1 and "SLURM_PROCID" in os.environ else ""


def num_processes() -> int:
    """Return the number of processes that torchrun has started, on all machines."""
    return int(os.environ["WORLD_SIZE"]) if launcher() == "torchrun" else 1


def announce_failure(error: BaseException) -> None:
    """Tell the ranks that wait for this process of torchrun that it has failed, if it has not joined them yet."""
    if num_processes() == 1:
        return
    from torch import distributed

    address, port, limit = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timedelta(seconds=FAILURE_SECONDS)
    with suppress(RuntimeError, distributed.DistError):  # nobody keeps a store yet, or no longer
        store = distributed.TCPStore(address, port, num_processes(), False, limit, wait_for_workers=False)
        World(int(os.environ["RANK"]), num_processes(), _store=distributed.PrefixStore(_prefix(), store)).fail(error)


def shows_messages(words: Sequence[str] = ()) -> bool:
    """Return whether this process shows messages: of the ranks of one run, the first one on each machine does.

    Args:
        words: the command line. Before the config is read, it alone tells whether the tasks of srun are ranks of one
            run. Tasks that are runs of their own show their own messages.
    """
    if launcher() != "srun":
        return launcher() != "torchrun" or os.environ["LOCAL_RANK"] == "0"
    are_ranks = "RANK" in os.environ or any(word.lstrip("+").startswith(RANK_SETTINGS) for word in words)
    return os.environ.get("SLURM_LOCALID", os.environ["SLURM_PROCID"]) == "0" or not are_ranks


def join(cfg: DictConfig, is_resumed: bool = False) -> World:
    """Decide which rank of a run this process is, and connect to the others.

    Args:
        cfg: the whole config. `trainer.devices` and `trainer.num_nodes` are set to the ranks that there are.
        is_resumed: whether the run goes on from a checkpoint; it may then have another number of ranks than before.
    Raises:
        UserError: the launcher has started another number of ranks than the config asks for, or a rank is missing.
    """
    devices = _num_devices(cfg)
    wanted = devices, cfg.trainer.get("num_nodes", 1)
    started_by, started = launcher(), wanted
    if started_by == "torchrun":
        started = _started_by_torchrun()
        if wanted not in ((1, 1), started) and not is_resumed:
            raise UserError(
                f"torchrun has started {_text(*started)}, but the settings ask for {_text(*wanted)}.\n"
                "  Leave trainer.devices and trainer.num_nodes out: torchrun decides them."
            )
    elif started_by == "srun":
        num_tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        if wanted == (1, 1):  # each task is a run of its own
            started_by = ""
        else:
            _set_torchrun_variables(*wanted)
        if started_by and num_tasks != devices * wanted[1]:
            raise UserError(
                f"srun has started {num_tasks} tasks, but the settings ask for {_text(*wanted)}.\n"
                f"  Type: srun --ntasks {devices * wanted[1]} …, one task a device"
            )
    elif wanted[1] > 1 and is_resumed:
        started = devices, 1
    elif wanted[1] > 1:
        raise UserError(
            f"trainer.num_nodes={wanted[1]}: one command cannot start processes on other machines.\n"
            f"  Type on each of them: torchrun --nnodes {wanted[1]} --nproc-per-node {devices} "
            "--rdzv-backend c10d --rdzv-endpoint HOST:29500 train.py …, or in Slurm: srun …"
        )
    with open_dict(cfg):
        cfg.trainer.devices, cfg.trainer.num_nodes = started
    num_ranks, batch_size = started[0] * started[1], cfg.data.get("batch_size")
    if batch_size is not None and batch_size < num_ranks:
        raise UserError(
            f"data.batch_size={batch_size} leaves a rank without images: {num_ranks} ranks divide each batch.\n"
            f"  Type: data.batch_size={num_ranks} or more"
        )
    if not started_by or started == (1, 1):
        return stand_alone(cfg)
    world = World(0, started[0] * started[1], *started, started_by, cfg.trainer.get("rendezvous_minutes", 10))
    _connect(world)
    return world


def _started_by_torchrun() -> tuple[int, int]:
    """Return the processes that torchrun has started on each machine, and the number of machines.

    Raises:
        UserError: the machines have different numbers of processes.
    """
    exit_with_parent()  # the agent: without it, nothing ends a rank that waits for another one
    started = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
    if started[0] * started[1] != num_processes():
        raise UserError(
            f"torchrun has started {num_processes()} processes in all, but {_text(*started)} here: each machine must "
            "have as many.\n  Type the same --nproc-per-node on all of them"
        )
    return started


def check_devices_of_torchrun(devices: int) -> None:
    """Raise UserError if a number of devices that the user has typed is not the one that torchrun decides."""
    if launcher() == "torchrun" and int(os.environ["LOCAL_WORLD_SIZE"]) != devices:
        raise UserError(
            f"trainer.devices={devices} has no effect: torchrun has started {os.environ['LOCAL_WORLD_SIZE']} processes "
            "here.\n  Leave it out, or type another --nproc-per-node"
        )


def _set_torchrun_variables(devices: int, num_nodes: int) -> None:
    """Describe a task of srun by the variables that torchrun sets, which Lightning and torch read.

    Lightning's own environment for Slurm refuses `srun --ntasks`, and takes one port for all steps of a job.
    """
    from lightning.pytorch.plugins.environments import SLURMEnvironment

    step = {name: os.environ.get(f"SLURM_{name}", "0") for name in ("PROCID", "LOCALID", "NODEID", "STEP_ID", "JOB_ID")}
    nodes = os.environ.get("SLURM_STEP_NODELIST", "127.0.0.1")
    port = 15000 + (int(step["JOB_ID"]) + 97 * int(step["STEP_ID"])) % 10000  # the same on all tasks of a step only
    os.environ |= {
        "RANK": step["PROCID"],
        "LOCAL_RANK": step["LOCALID"],
        "GROUP_RANK": step["NODEID"],
        "WORLD_SIZE": str(devices * num_nodes),
        "LOCAL_WORLD_SIZE": str(devices),
        "GROUP_WORLD_SIZE": str(num_nodes),
        "MASTER_ADDR": os.environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes),
        "MASTER_PORT": os.environ.get("MASTER_PORT") or str(port),
    }


def stand_alone(cfg: DictConfig) -> World:
    """Make this process the first and only rank of a run, whatever its environment says.

    Args:
        cfg: the whole config; an automatic number of devices becomes the number that there is, and a strategy for
            several ranks, which one rank does not use, is not recorded.
    """
    for name in list(os.environ):
        if name in RANK_VARIABLES or name.startswith("TORCHELASTIC_"):
            del os.environ[name]
    with open_dict(cfg):
        cfg.trainer.devices = _num_devices(cfg)
        if cfg.trainer.devices == 1 and "strategy" in cfg.trainer:
            cfg.trainer.strategy = "auto"
    return World(num_devices=cfg.trainer.devices, minutes=cfg.trainer.get("rendezvous_minutes", 10))


def _num_devices(cfg: DictConfig) -> int:
    if cfg.trainer.devices != "auto":
        return cfg.trainer.devices
    import torch

    return max(1, torch.cuda.device_count()) if takes_cuda(cfg) else 1


def _difference(value: Any, expected: Any) -> str:
    """Describe a difference for a message; of mappings, that of the first key that differs."""
    if not isinstance(value, dict):
        return f"{value}, not {expected}"
    key = next(key for key in {**expected, **value} if value.get(key) != expected.get(key))
    return f"{key}={value.get(key)}, not {expected.get(key)}"


def _text(devices: int, num_nodes: int) -> str:
    """Describe devices and nodes for a message."""
    nodes = f" on each of {num_nodes} nodes" if num_nodes > 1 else ""
    return f"{devices} process{'es' if devices > 1 else ''}{nodes}"


def _connect(world: World) -> None:
    """Connect a rank to the store of all ranks, and make the process group, which Lightning then finds.

    Raises:
        UserError: the first rank cannot be reached, or a rank is missing.
    """
    global _num_joined
    import torch
    from torch import distributed

    environment = world.environment()
    world.rank = environment.global_rank()
    address, port = environment.main_address, environment.main_port
    # the agent of torchrun usually keeps the store itself, and then says so
    keeps_store = world.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    limit = timedelta(minutes=world.minutes)
    try:
        with _default_signals():
            store = distributed.TCPStore(address, port, world.size, keeps_store, limit, wait_for_workers=False)
            prefix = _prefix()
            world._store = distributed.PrefixStore(prefix, store)
            _num_joined += 1
            host, pid = world.exchange("process", [socket.gethostname(), os.getpid()])[0]
            world.first_process = host, pid
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
                store=distributed.PrefixStore(f"{prefix}/group", store),
                rank=world.rank,
                world_size=world.size,
                timeout=limit,
            )
    except (RuntimeError, distributed.DistError) as error:
        raise UserError(
            f"rank {world.rank} of {world.size} did not reach the first rank at {address}:{port} within "
            f"{world.minutes:g} minutes.\n  Look whether all ranks have started and the port is open; "
            "to wait longer, type trainer.rendezvous_minutes=30"
        ) from error


def _prefix() -> str:
    """Name the values of the next run in the store: that of torchrun still holds those of earlier runs and attempts."""
    return f"convline/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{_num_joined}"


@contextmanager
def _default_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process within the block: Python's handlers do not run while torch waits."""
    previous = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        for signum in previous:
            signal.signal(signum, signal.SIG_DFL)
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
