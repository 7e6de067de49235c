"""Jobs side by side: processes that each take the next job when they are done with one.

Not joblib, whose pool is broken as a whole, the other jobs included, when the system kills one of its processes, and
which cannot give a process a graphics card of its own before it has started.
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

from convline.errors import Interrupted, UserError
from convline.records import directory as runs
from convline.records import lock
from convline.run.processes import forward_signals, start_module
from convline.sweeps.process_pool_worker import FAILED_FAST
from convline.sweeps.run_job import report_failure
from convline.sweeps.trials import Trials

TRIES = 3  # workers that may be killed while they have no job, before something must be wrong with all of them


class Workers:
    """Processes that share jobs.

    Args:
        cfg: what the jobs have in common: `workers`, `fail_fast` and `trainer` count.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self._count = cfg.workers
        self._environments = environments(cfg.workers, cfg.trainer.devices, _num_cores(), _gpus(cfg))
        self._task: dict[str, object] = {"command": sys.argv, "fail_fast": cfg.fail_fast}
        self._running: list[subprocess.Popen] = []
        self._idle_deaths = 0

    def jobs(self, directories: Sequence[Path]) -> None:
        """Do the jobs in these directories; returns when they have ended.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came, and every job has saved its state.
            UserError: no worker can be started.
        """
        task = {"directories": list(map(str, directories))}
        self._work(task, min(self._count, len(directories)), directories[0].parent)

    def search(self, trials: Trials) -> None:
        """Do the trials of a search; returns when there are as many as wanted, and raises likewise."""
        self._work({"search": str(trials.folder)}, self._count, trials.folder)

    def _work(self, task: Mapping[str, object], count: int, folder: Path) -> None:
        self._task.update(task)
        slots = {slot: self._start(slot) for slot in range(count)}
        is_ending = False
        try:
            with forward_signals(self._running) as received:
                while slots:
                    time.sleep(0.05)
                    for slot, process in list(slots.items()):
                        if process.poll() is not None:
                            self._running.remove(slots.pop(slot))
                            has_died = _has_died(process)
                            has_lost = has_died and self._has_lost_a_job(process, folder)
                            if process.returncode == FAILED_FAST or (has_lost and self._task["fail_fast"]):
                                is_ending = True
                                for other in slots.values():
                                    other.terminate()
                            if has_died and not is_ending and not received:
                                if not has_lost:
                                    self._count_idle_death(process)
                                slots[slot] = self._start(slot)
        finally:
            for process in self._running:
                process.kill()
                process.wait()
            self._running.clear()
        if received:
            raise Interrupted(received[0])

    def _start(self, slot: int) -> subprocess.Popen:
        process = start_module(
            "convline.sweeps.process_pool_worker", [], self._environments[slot], stdin=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        with process.stdin as pipe:
            json.dump(self._task, pipe)
        self._running.append(process)
        return process

    @staticmethod
    def _has_lost_a_job(process: subprocess.Popen, folder: Path) -> bool:
        """Whether a worker that has died was at a job, which is then failed."""
        lost = [
            path.parent for path in folder.glob(f"*/{lock.HEARTBEAT}") if lock.holder_pid(path.parent) == process.pid
        ]
        has_lost = False
        for run_dir in lost:
            with suppress(lock.HeldError), lock.locked(run_dir):  # another command may have taken the job over
                status = runs.read_summary(run_dir)["status"]
                if status not in ("finished", "failed", "pruned"):  # the job had not ended
                    runs.update_summary(run_dir, status="failed", error=f"its process {_how(process)}")
                    report_failure(run_dir)
                    has_lost = True
        return has_lost

    def _count_idle_death(self, process: subprocess.Popen) -> None:
        """Of a worker that had no job: the system may have killed it while it started.

        Raises:
            UserError: it ended by itself, or is one too many.
        """
        self._idle_deaths += 1
        if process.returncode > 0 or self._idle_deaths == TRIES:
            raise UserError(f"a worker {_how(process)} while it had no job; the reason may stand above.")


def _has_died(process: subprocess.Popen) -> bool:
    """Whether it ended otherwise than by being done or by being asked to."""
    return process.returncode not in (0, FAILED_FAST, 128 + signal.SIGINT, 128 + signal.SIGTERM)


def _how(process: subprocess.Popen) -> str:
    status = process.returncode
    return f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with status {status}"


def environments(num_workers: int, devices: int, num_cores: int, gpus: Sequence[str]) -> list[dict[str, str]]:
    """What each worker gets of the machine, as variables of its environment.

    Args:
        num_workers: processes side by side.
        devices: that each job trains on.
        num_cores: of the processor.
        gpus: names of the graphics cards, as in CUDA_VISIBLE_DEVICES; empty: they are left as they are.
    """
    threads = max(1, num_cores // (num_workers * devices))
    threads = min(threads, int(os.environ.get("OMP_NUM_THREADS") or threads))
    groups = [",".join(gpus[first : first + devices]) for first in range(0, len(gpus) - devices + 1, devices)]
    shares = [{"CUDA_VISIBLE_DEVICES": groups[slot % len(groups)]} if groups else {} for slot in range(num_workers)]
    return [{"OMP_NUM_THREADS": str(threads), **share} for share in shares]


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus(cfg: DictConfig) -> list[str]:
    if cfg.trainer.accelerator not in ("auto", "gpu", "cuda"):
        return []
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    import torch

    return list(map(str, range(torch.cuda.device_count())))
