"""Real servers for tests: started on the loopback by the test itself, ended by their process ids."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.commands import wait_for


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def program(
    *command: str, folder: Path, environment: dict[str, str] | None = None, end: int = signal.SIGTERM
) -> Iterator[subprocess.Popen]:
    """A program that runs until the block ends; what it says goes to a file in `folder`."""
    with open(folder / f"{Path(command[0]).name}.txt", "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(environment or {})})
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def found(*programs: str) -> list[str]:
    """Their paths; the test is skipped without one."""
    folders = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    paths = {name: shutil.which(name, path=os.pathsep.join(folders)) for name in programs}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here; docs/sweeps.md says how to install what has it")
    return [str(path) for path in paths.values()]


@contextmanager
def postgresql() -> Iterator[str]:
    """URL of an empty database of a PostgreSQL server of its own."""
    initdb, server = found("initdb", "postgres")
    pytest.importorskip("psycopg", reason="no psycopg, the driver: pip install 'psycopg[binary]'")
    as_user = []
    if os.getuid() == 0:  # which the server refuses
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    port = free_port()
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        if as_user:
            shutil.chown(folder, "postgres")
        data = str(folder / "data")
        subprocess.run(
            [*as_user, initdb, "-D", data, "-A", "trust", "-U", "convline", "-N"], check=True, stdout=subprocess.DEVNULL
        )
        settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
        words = [word for setting in settings for word in ("-c", setting)]
        fast = signal.SIGINT  # the other signal waits for its clients
        with program(*as_user, server, "-D", data, *words, folder=folder, end=fast):
            wait_for((folder / f".s.PGSQL.{port}").exists, "PostgreSQL")
            yield f"postgresql+psycopg://convline@127.0.0.1:{port}/postgres"


SLURM_CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` finds a Slurm of one node."""
    munged, controller, daemon, sinfo, cancel = found("munged", "slurmctld", "slurmd", "sinfo", "scancel")
    if os.getuid() != 0:
        pytest.skip("slurmd starts jobs as their users, which only root can do")
    host = socket.gethostname().partition(".")[0]
    with tempfile.TemporaryDirectory(dir="/tmp") as name, ExitStack() as running:
        folder = Path(name)
        (folder / "state").mkdir()
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        conf = folder / "slurm.conf"
        conf.write_text(SLURM_CONF.format(host=host, folder=folder, controller=free_port(), daemon=free_port()))
        environment = {"SLURM_CONF": str(conf)}
        kept = {
            "key-file": "munge.key",
            "socket": "munge.socket",
            "pid-file": "m.pid",
            "log-file": "m.log",
            "seed-file": "m.seed",
        }
        options = [f"--{key}={folder / file}" for key, file in kept.items()]
        running.enter_context(program(munged, "--foreground", "--force", *options, folder=folder))
        wait_for((folder / "munge.socket").exists, "munged")
        for command in ([controller, "-D", "-i"], [daemon, "-D"]):
            running.enter_context(program(*command, "-f", str(conf), folder=folder, environment=environment))

        def is_up() -> bool:
            done = subprocess.run(
                [sinfo, "-h", "-o", "%T"], env={**os.environ, **environment}, capture_output=True, text=True
            )
            return done.stdout.strip() == "idle"

        wait_for(is_up, f"node of Slurm; see {folder}")
        try:
            yield environment
        finally:
            everything = {**os.environ, **environment}
            subprocess.run(
                [cancel, "--state=RUNNING", "--state=PENDING", f"--user={os.environ.get('USER', 'root')}"],
                env=everything,
            )
            wait_for(is_up, "end of the jobs")


@contextmanager
def ray_cluster(num_nodes: int = 2) -> Iterator[Any]:
    """A Ray cluster of nodes with one core each, all on this machine; `worker_nodes` are those that may be killed."""
    pytest.importorskip("ray", reason="no Ray: pip install 'convline[ray]'")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        for _ in range(num_nodes - 1):
            cluster.add_node(**node)
        yield cluster
    finally:
        cluster.shutdown()
