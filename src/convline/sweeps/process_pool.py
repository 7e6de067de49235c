"""Run jobs in several processes. Each process takes the next job when it has finished one.

Not joblib (loky): its pool breaks as a whole, with the other jobs, when the system kills one of its processes, and it
cannot give a process a GPU of its own before the process has started.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from convline.config.trainer_settings import takes_cuda
from convline.errors import STOP_SIGNALS, Interrupted, UserError
from convline.machine import num_cores
from convline.records import lock
from convline.records.directory import ENDED, read_summary, update_summary
from convline.run.child_process import forward_signals, start_module
from convline.signals import signals_blocked
from convline.sweeps.run_job import report_failure
from convline.sweeps.trials import Trials

FAILED_FAST = 4  # exit status of a worker: a job failed, and no other job is to begin
MAX_IDLE_DEATHS = 3  # a worker may be killed while it has no job; after so many, all of them must have a problem


class ProcessPool:
    """Run jobs in `workers` processes.

    Args:
        cfg: the config that the jobs share, of which `workers`, `fail_fast` and `trainer` are used.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self._num_workers = cfg.workers
        self._environments = environments(cfg.workers, cfg.trainer.devices, num_cores(), _gpus(cfg))
        self._task: dict[str, object] = {"command": sys.argv, "fail_fast": cfg.fail_fast}
        self._running: list[subprocess.Popen] = []
        self._idle_deaths = 0
        self._is_ending = False

    def run_jobs(self, directories: Sequence[Path]) -> None:
        """Run the jobs in these run directories; return when they have ended.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came, and every job has saved its state.
            UserError: no worker can be started.
        """
        task = {"directories": list(map(str, directories))}
        self._work(task, min(self._num_workers, len(directories)), directories[0].parent)

    def run_trials(self, trials: Trials) -> None:
        """Run trials until there are as many as requested; raises the same errors as `run_jobs`."""
        self._work({"search": str(trials.folder)}, self._num_workers, trials.folder)

    def _work(self, task: Mapping[str, object], num_workers: int, folder: Path) -> None:
        self._task.update(task)
        slots: dict[int, subprocess.Popen] = {}
        try:
            with forward_signals(self._running) as received:
                while len(slots) < num_workers and not received:
                    slots[len(slots)] = self._start(len(slots))
                while slots:
                    time.sleep(0.05)
                    for slot, process in list(slots.items()):
                        if process.poll() is not None:
                            self._running.remove(slots.pop(slot))
                            if self._needs_successor(process, folder, bool(received)):
                                slots[slot] = self._start(slot)
        finally:
            for process in self._running:
                process.kill()
                process.wait()
            self._running.clear()
        if received:
            raise Interrupted(received[0])

    def _start(self, slot: int) -> subprocess.Popen:
        with signals_blocked():  # a signal is forwarded to the processes in the list
            process = start_module(
                "convline.sweeps.process_pool_worker", [], self._environments[slot], stdin=subprocess.PIPE, text=True
            )
            self._running.append(process)
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as pipe:  # a worker may be killed before it reads
            json.dump(self._task, pipe)
        return process

    def _needs_successor(self, process: subprocess.Popen, folder: Path, is_interrupted: bool) -> bool:
        """Record the job of a worker that died, end the others if this job is to be the last; else replace it."""
        has_died = _has_died(process)
        # recorded here: only the parent process sees the signal that killed the worker
        has_lost = has_died and self._record_lost_job(process, folder)
        if process.returncode == FAILED_FAST or (has_lost and self._task["fail_fast"]):
            self._is_ending = True
            for other in self._running:
                other.terminate()
        if not has_died or self._is_ending or is_interrupted:
            return False
        if not has_lost:
            self._count_idle_death(process)
        return True

    @staticmethod
    def _record_lost_job(process: subprocess.Popen, folder: Path) -> bool:
        """Record the job of a dead worker as failed; return whether the worker had one."""
        lost = [
            path.parent for path in folder.glob(f"*/{lock.HEARTBEAT}") if lock.holder_pid(path.parent) == process.pid
        ]
        has_lost = False
        for run_dir in lost:
            with suppress(lock.HeldError), lock.locked(run_dir):  # another command may have taken the job over
                status = read_summary(run_dir)["status"]
                if status not in ENDED:  # the job had not ended
                    update_summary(run_dir, status="failed", error=f"its process {_how(process)}")
                    report_failure(run_dir)
                    has_lost = True
        return has_lost

    def _count_idle_death(self, process: subprocess.Popen) -> None:
        """Count a worker that died without a job: the system may have killed it while it started.

        Raises:
            UserError: the worker ended by itself, or too many workers were killed.
        """
        self._idle_deaths += 1
        if process.returncode > 0 or self._idle_deaths == MAX_IDLE_DEATHS:
            raise UserError(f"a worker {_how(process)} while it had no job; the reason may stand above.")


def _has_died(process: subprocess.Popen) -> bool:
    """Return whether a worker ended neither because its work was done nor because a signal asked it to."""
    return process.returncode not in (0, FAILED_FAST, *(128 + signum for signum in STOP_SIGNALS))


def _how(process: subprocess.Popen) -> str:
    status = process.returncode
    return f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with status {status}"


def environments(num_workers: int, devices: int, num_cores: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """Share the machine among workers; return the environment variables of each worker.

    Args:
        num_workers: number of processes.
        devices: number of devices that each job trains on.
        num_cores: number of processor cores.
        gpus: names of the GPUs, as in CUDA_VISIBLE_DEVICES; if empty, that variable is left as it is.
    """
    threads = max(1, num_cores // (num_workers * devices))
    threads = min(threads, int(os.environ.get("OMP_NUM_THREADS") or threads))
    groups = [",".join(gpus[first : first + devices]) for first in range(0, len(gpus) - devices + 1, devices)]
    shares = [{"CUDA_VISIBLE_DEVICES": groups[slot % len(groups)]} if groups else {} for slot in range(num_workers)]
    return [{"OMP_NUM_THREADS": str(threads), **share} for share in shares]


def _gpus(cfg: DictConfig) -> list[str]:
    if not takes_cuda(cfg):
        return []
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    import torch

    return list(map(str, range(torch.cuda.device_count())))
