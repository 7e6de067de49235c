"""Jobs by a launcher of Hydra's, such as submitit's for Slurm: one task a job, which finds its directory by its name."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, flag_override

from convline import lock, runs
from convline.errors import UserError, first_line
from convline.sweeps.perform import perform, report_failure

TRIES = 2  # how often a job is given to the launcher: its node may have failed, or the job may kill its process


class Elsewhere:
    """Gives jobs to a launcher.

    Args:
        cfg: the config that the jobs have in common, with Hydra's node.
        context: Hydra's.
    Raises:
        UserError: a setting has no effect with a launcher.
    """

    def __init__(self, cfg: DictConfig, context: HydraContext) -> None:
        for key, without in (("fail_fast", False), ("workers", 1)):
            if cfg[key] != without:
                raise UserError(f"{key}={cfg[key]} has no effect with a launcher of Hydra's; leave one of them out.")
        self._cfg, self._context = cfg, context
        self._tries: Counter[Path] = Counter()

    def __call__(self, directories: Sequence[Path]) -> None:
        """Do the jobs in these directories; returns when the launcher is through with them, or has failed.

        Raises:
            UserError: it brings nothing about.
        """
        todo = [run_dir for run_dir in directories if not self._is_given_up(run_dir)]
        if not todo:
            return
        folder = todo[0].parent.absolute()
        with flag_override(self._cfg, ["readonly", "struct"], False):
            self._cfg.hydra.sweep.dir = str(folder)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=job, config=self._cfg
        )
        tasks = [[f"hydra.sweep.dir='{folder}'", f"hydra.sweep.subdir='{run_dir.name}'"] for run_dir in todo]
        self._tries.update(todo)
        before = {run_dir: runs.status(run_dir) for run_dir in todo}
        try:
            launcher.launch(tasks, initial_job_idx=0)
        except Exception as error:  # of one task, perhaps; the others may be running still
            if before == {run_dir: runs.status(run_dir) for run_dir in todo}:
                raise UserError(f"the launcher {self._cfg.hydra.launcher._target_} failed: {first_line(error)}") from error
            print(f"── the launcher says: {first_line(error)}", file=sys.stderr, flush=True)

    def _is_given_up(self, run_dir: Path) -> bool:
        """Whether a job was tried often enough; if its process died, it has failed.

        Raises:
            UserError: it was stopped, or never begun.
        """
        if self._tries[run_dir] < TRIES:
            return False
        state = runs.read_summary(run_dir)["status"]
        if state != "running":
            raise UserError(f"{run_dir} is {state} after {TRIES} tries; the same command goes on with it.")
        with lock.locked(run_dir):
            runs.update_summary(run_dir, status="failed", error=f"its process died {TRIES} times")
        report_failure(run_dir)
        return True


def job(cfg: DictConfig) -> str | None:
    """What the launcher calls: the job in the directory that Hydra made of the task's two words."""
    from convline.callbacks.interrupt import stoppable
    from convline.data.shared import sharing

    run_dir = Path(HydraConfig.get().runtime.output_dir)
    sys.argv = json.loads((run_dir.parent / "sweep.json").read_text())["command"]
    with stoppable(""), sharing():
        return perform(run_dir, "job")
