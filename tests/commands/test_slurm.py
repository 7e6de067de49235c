"""The job script that `convline slurm` writes; tests/run/test_slurm.py submits it."""

from pathlib import Path

import pytest

from convline.commands.slurm import Request, job_script
from convline.errors import UserError
from support.commands import assert_one_screen, convline, shell

DIGITS = ["data=digits", "model=lenet"]


def directives(script: str) -> set[str]:
    return {line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")}


def command(script: str) -> str:
    return next(line for line in script.splitlines() if line.startswith("srun "))


def test_a_run_of_one_process() -> None:
    script = job_script([*DIGITS, "model.pattern='CONV(4) -> FC'"], Request(time="30:00", partition="gpu"))
    expected = {"--job-name=lenet_digits", "--nodes=1", "--ntasks-per-node=1", "--cpus-per-task=1", "--time=30:00"}
    expected |= {"--partition=gpu", "--requeue", "--open-mode=append", "--signal=USR1@120"}
    assert directives(script) == expected
    assert "resume=auto" in command(script)
    assert "trainer.devices" not in script
    assert shell("bash", "-n", "-c", script).err == ""


def test_a_task_for_each_gpu_of_each_node() -> None:
    script = job_script(DIGITS, Request(nodes=2, gpus=4, cpus=6))
    assert {"--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4", "--cpus-per-task=6"} <= directives(script)
    assert "trainer.devices=4 trainer.num_nodes=2 resume=auto" in command(script)


def test_devices_of_the_settings() -> None:
    script = job_script([*DIGITS, "trainer=ddp"], Request())
    assert "--ntasks-per-node=2" in directives(script)
    assert "trainer=ddp trainer.devices=2 trainer.num_nodes=1" in command(script)
    assert "--ntasks-per-node=3" in directives(job_script([*DIGITS, "trainer.devices=auto"], Request(gpus=3)))


def test_the_name_of_a_job_is_one_word() -> None:
    assert "--job-name=my-run-2" in directives(job_script([*DIGITS, "name='my run/2'"], Request(array="0,3,7-9%2")))


def test_an_array_gives_the_seeds_and_further_options_follow() -> None:
    script = job_script(DIGITS, Request(array="0-4", options=["--account=x"]))
    assert {"--array=0-4", "--account=x"} <= directives(script)
    assert command(script).endswith('resume=auto "seed=$SLURM_ARRAY_TASK_ID"')


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("90", 5400), ("90:30", 5430), ("1:30:05", 5405), ("1-12", 129600), ("1-12:30", 131400), ("1-0:0:7", 86407)],
)
def test_the_formats_of_a_time_limit(time: str, seconds: int) -> None:
    job_script(DIGITS, Request(time=time, save_seconds=seconds - 61))
    with pytest.raises(UserError, match=f"--time {time} leaves no time to train"):
        job_script(DIGITS, Request(time=time, save_seconds=seconds - 60))  # it would be queued again for ever


@pytest.mark.parametrize(
    ("words", "request_", "expected"),
    [
        (["trainer.devices=2"], Request(gpus=4), "trainer.devices=2 does not fit --gpus 4"),
        (["trainer.num_nodes=2"], Request(nodes=4), "trainer.num_nodes=2 does not fit --nodes 4"),
        (["trainer=ddp"], Request(gpus=4), "Type: --gpus 2, or leave trainer=ddp out"),
        ([], Request(array="abc"), "--array abc is no list of seeds"),
        ([], Request(options=["--account=x\ny"]), "no option of sbatch in one word"),
        ([], Request(partition="a b"), "no option of sbatch in one word"),
        (["seed=1"], Request(array="0-4"), "seed=1 does not fit --array 0-4"),
        (["resume=auto"], Request(), "the job goes on by itself"),
        (["optimizer.lr=0.1,0.2"], Request(), "optimizer.lr=0.1,0.2 is for a sweep"),
        (["seeds=3"], Request(), "seeds=3 is for a sweep"),
        (["workers=2"], Request(), "workers=2 is for a sweep"),
        (["hydra/launcher=submitit_slurm"], Request(), "is for a sweep"),
        (["optimizer.lr=x"], Request(), "optimizer.lr"),
        ([], Request(time="soon"), "--time soon is no time"),
    ],
)
def test_what_is_no_job_of_one_run(words: list[str], request_: Request, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        job_script([*DIGITS, *words], request_)


def test_the_command_prints_or_writes(tmp_path: Path) -> None:
    printed = convline(tmp_path, "slurm", *DIGITS, "--time", "10", "--option=--account=x")
    written = convline(tmp_path, "slurm", *DIGITS, "--time", "10", "--option=--account=x", "--output", "job.sh")
    assert (printed.status, written.status) == (0, 0), printed.err + written.err
    assert written.out == "written: job.sh\n  Type: sbatch job.sh\n"
    without = [line for line in printed.out.splitlines() if not line.startswith("# convline")]
    assert without == [line for line in (tmp_path / "job.sh").read_text().splitlines() if "# convline" not in line]
    assert_one_screen(convline(tmp_path, "slurm", *DIGITS, "--output", "none/job.sh"), "none/job.sh cannot be written")
    assert_one_screen(convline(tmp_path, "slurm", *DIGITS, "data=digitz"), "did you mean 'digits'?")
