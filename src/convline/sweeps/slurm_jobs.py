"""Watch the jobs that submitit has submitted to Slurm, and name those that go on when their sweep is stopped."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from convline.errors import Interrupted


@contextmanager
def going_on_after_interruption(cfg: DictConfig) -> Iterator[None]:
    """Say in an interruption of the block which jobs it has submitted, as they go on without the sweep's command.

    Args:
        cfg: the config of the sweep; a launcher that is not submitit's for Slurm changes nothing.
    """
    if not cfg.hydra.launcher._target_.endswith(".SlurmLauncher"):
        yield
        return
    folder = Path(str(OmegaConf.select(cfg, "hydra.launcher.submitit_folder")).partition("%")[0])
    before = _array_ids(folder)
    _watch_files_without_accounting()
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        ids = sorted(_array_ids(folder) - before, key=int)
        remark = f"Its jobs go on in Slurm. To end them, type: scancel {' '.join(ids)}" if ids else ""
        raise Interrupted(getattr(stop, "signum", 2), getattr(stop, "hint", ""), remark) from stop


def _array_ids(folder: Path) -> set[str]:
    """Return the numbers of the job arrays whose files submitit has in a folder: those of 12_0 and 12_1 are of 12."""
    return {path.name.partition("_")[0] for path in folder.rglob("*_submitted.pkl")}


def _watch_files_without_accounting() -> None:
    """Let submitit not ask for the states of jobs where Slurm keeps none; it watches the files of the jobs anyway.

    Each question would print two lines of an error.
    """
    try:
        done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return
    if "= accounting_storage/none" not in done.stdout:
        return
    import submitit
    from submitit.slurm.slurm import SlurmInfoWatcher  # not exported by submitit 1.5; if it moves, this import fails

    class SilentWatcher(SlurmInfoWatcher):
        def update(self) -> None:
            pass

    submitit.SlurmJob.watcher = SilentWatcher(delay_s=600)
    print("── Slurm keeps no accounting: the states of jobs are read from their files", file=sys.stderr, flush=True)
