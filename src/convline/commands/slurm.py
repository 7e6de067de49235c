"""Write the job script of a single run for Slurm, for `convline slurm`."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convline.config.load import load_configs, prepare
from convline.config.overrides import AUTO, parse_overrides
from convline.config.schema import is_of_sweeps
from convline.errors import UserError

SCRIPT = """\
#!/bin/bash
{directives}

# {command}
# A run that Slurm queues again, after a node failed or another job took its place, goes on from its last checkpoint.
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" {run}
status=$?
if [ "$status" -eq 138 ]; then  # 128 + SIGUSR1: the time was nearly up, and the run has saved its state
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


SIGNAL_LEEWAY = 60  # seconds by which Slurm may send a signal earlier than it was asked to
ARRAY = re.compile(r"\d+(-\d+(:\d+)?)?(,\d+(-\d+(:\d+)?)?)*(%\d+)?")  # as sbatch takes it: 0-4, 0,3,7-9%2
NOT_IN_NAMES = re.compile(r"[^\w.=,+-]+")  # of the name of a job
TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")  # [days-]first[:second[:third]]


@dataclass(frozen=True)
class Request:
    """Describe what a job asks Slurm for.

    Args:
        time: limit of one submission, as `sbatch --time` takes it; a run that needs more is queued again.
        nodes: number of machines.
        gpus: number of GPUs on each machine; 0: none is asked for.
        cpus: number of processor cores of each task.
        partition: partition of the cluster; None: its default.
        array: seeds of a job array, as `sbatch --array` takes them; None: one job.
        save_seconds: seconds before the end of the time at which the run saves its state.
        options: further options of sbatch, such as `--account=x`.
    """

    time: str = "1:00:00"
    nodes: int = 1
    gpus: int = 0
    cpus: int = 1
    partition: str | None = None
    array: str | None = None
    save_seconds: int = 120
    options: Sequence[str] = ()


def job_script(overrides: Sequence[str], request: Request, config_dir: Path | None = None) -> str:
    """Return the script with which `sbatch` trains a run, or with an array one run a seed.

    Args:
        overrides: overrides of the run.
        request: what the job asks for.
        config_dir: a folder of the user's own options.
    Raises:
        UserError: the overrides are no valid config of one run, or do not fit what the job asks for.
    """
    _check_words(overrides, request)
    _check_options(request)
    if _seconds(request.time) <= request.save_seconds + SIGNAL_LEEWAY:
        raise UserError(
            f"--time {request.time} leaves no time to train: the signal to save comes {request.save_seconds} seconds "
            f"before the end, or up to {SIGNAL_LEEWAY} seconds earlier.\n  Type a longer --time, or --save-seconds 30"
        )
    cfg, choices = load_configs([prepare(overrides)])[0]
    devices = cfg.trainer.devices
    if devices == "auto" or (devices == 1 and request.gpus):
        devices = request.gpus or 1
    elif request.gpus and devices != request.gpus:
        typed = next((word for word in overrides if word.startswith(("trainer=", "trainer.devices="))), "it")
        raise UserError(
            f"trainer.devices={devices} does not fit --gpus {request.gpus}, which are those of each node.\n"
            f"  Type: --gpus {devices}, or leave {typed} out"
        )
    if cfg.trainer.num_nodes not in (1, request.nodes):
        raise UserError(
            f"trainer.num_nodes={cfg.trainer.num_nodes} does not fit --nodes {request.nodes}.\n"
            f"  Type: --nodes {cfg.trainer.num_nodes}, and leave trainer.num_nodes out"
        )
    words = list(overrides)
    if devices * request.nodes > 1:
        words = [word for word in words if not word.startswith(("trainer.devices=", "trainer.num_nodes="))]
        words += [f"trainer.devices={devices}", f"trainer.num_nodes={request.nodes}"]
    run = [sys.executable, "-P", "-m", "convline", "train"]
    run += ["--config-dir", str(config_dir.absolute())] if config_dir else []
    line = shlex.join([*run, *words, AUTO]) + (' "seed=$SLURM_ARRAY_TASK_ID"' if request.array else "")
    name = NOT_IN_NAMES.sub("-", cfg.name or f"{choices['model']}_{choices['data']}")
    return SCRIPT.format(
        directives="\n".join(f"#SBATCH {option}" for option in _options(request, devices, name)),
        command=f"convline {shlex.join(sys.argv[1:])}",
        run=line,
    )


def _seconds(time: str) -> int:
    """Return the seconds of a time as sbatch takes it: `90`, `90:00`, `1:30:00`, `1-12`, `1-12:30`, `1-12:30:00`.

    Raises:
        UserError: the text is no such time.
    """
    match = TIME.fullmatch(time)
    if match is None:
        raise UserError(
            f"--time {time} is no time.\n  Type minutes, hours or days: --time 90, --time 1:30:00, --time 1-12"
        )
    days, first, second, third = (None if group is None else int(group) for group in match.groups())
    if days is None and third is None:  # minutes, or minutes:seconds
        return 60 * (first or 0) + (second or 0)
    return 86400 * (days or 0) + 3600 * (first or 0) + 60 * (second or 0) + (third or 0)


def _check_options(request: Request) -> None:
    """Raise UserError for what sbatch would refuse or read as something else: a line of a script holds one option."""
    if request.array is not None and ARRAY.fullmatch(request.array) is None:
        raise UserError(f"--array {request.array} is no list of seeds.\n  Type: --array 0-4, or --array 0,3,7-9%2")
    for option in [*request.options, *([f"--partition={request.partition}"] if request.partition else [])]:
        if re.search(r"\s", option) or not option.startswith("-"):
            raise UserError(f"{option!r} is no option of sbatch in one word.\n  Type: --option=--account=NAME")


def _check_words(overrides: Sequence[str], request: Request) -> None:
    """Raise UserError for words that are not settings of one run."""
    for word in overrides:
        if word.startswith("resume="):  # a path need not obey the grammar of overrides
            raise UserError(f"{word}: the job goes on by itself ({AUTO}); leave it out.")
        if (
            word in ("-m", "--multirun")
            or word.startswith(("hydra/", "seeds="))
            or is_of_sweeps(word)
            or parse_overrides([word])[0].is_sweep_override()
        ):
            raise UserError(
                f"{word} is for a sweep, and this is the job of one run.\n"
                "  Type: --array 0-4 for five seeds; other sweeps: python train.py -m … hydra/launcher=submitit_slurm"
            )
        if request.array and word.startswith("seed="):
            raise UserError(f"{word} does not fit --array {request.array}, which gives the seeds; leave one out.")


def _options(request: Request, num_tasks: int, name: str) -> list[str]:
    """Return the options of sbatch; a node gets one task a device."""
    options = [f"--job-name={name}", f"--nodes={request.nodes}", f"--ntasks-per-node={num_tasks}"]
    options += [f"--cpus-per-task={request.cpus}", f"--time={request.time}"]
    options += [f"--gpus-per-node={request.gpus}"] if request.gpus else []
    options += [f"--partition={request.partition}"] if request.partition else []
    options += [f"--array={request.array}"] if request.array else []
    # the output of a job that is queued again continues its file
    return [*options, "--requeue", "--open-mode=append", f"--signal=USR1@{request.save_seconds}", *request.options]


def write_job_script(
    overrides: Sequence[str], request: Request, config_dir: Path | None = None, output: Path | None = None
) -> None:
    """Print the script of a job, or write it to a file.

    Raises:
        UserError: see `job_script`; or the file cannot be written.
    """
    script = job_script(overrides, request, config_dir)
    if output is None:
        print(script, end="")
        return
    try:
        output.write_text(script)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}") from error
    print(f"written: {output}\n  Type: sbatch {shlex.quote(str(output))}")
