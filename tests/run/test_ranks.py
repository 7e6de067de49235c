"""Runs on several ranks: started by this project, by torchrun, on two nodes; killed, resumed, and in the wrong way."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from convline.records.directory import read_summary
from support.commands import ROOT, SMALL, Done, Running, assert_one_screen, run_dirs, shell, train, wait_for
from support.run_files import curves, rows, weights, without_the_kill
from support.services import free_port

pytestmark = pytest.mark.slow
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=2")
PLAIN = [word for word in SMALL if not word.startswith("model.pattern")]


def torchrun(folder: Path, *words: str, options: tuple[str, ...] = ("--nproc-per-node", "2")) -> Done:
    """`torchrun OPTIONS train.py WORDS` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return shell(*torchrun_command(*words, options=options), cwd=folder, timeout=240, **environment())


def torchrun_command(*words: str, options: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options, str(ROOT / "train.py"), *words]


def environment() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"}


def started(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """A command that runs in `folder`."""
    environ, pipe = {**os.environ, **environment()}, subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environ, stdout=pipe, stderr=pipe, text=True)


def options_of_nodes() -> list[tuple[str, ...]]:
    """The options of torchrun on two "nodes" of one rank each, the first of which keeps the store."""
    port = str(free_port())
    return [
        ("--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(node), "--master-addr", "127.0.0.1",
         "--master-port", port)
        for node in (0, 1)
    ]  # fmt: skip


def start_nodes(words: list[str], folder: Path) -> list[subprocess.Popen[str]]:
    return [started(torchrun_command(*words, options=options), folder) for options in options_of_nodes()]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def same_weights(one: Path, other: Path) -> bool:
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def assert_goes_on(run_dir: Path, uninterrupted: Path) -> None:
    """The run, resumed without its kill, ends with the weights of the one that was never interrupted."""
    without_the_kill(run_dir)
    done = train(run_dir.parents[1], f"resume={run_dir}")
    assert done.status == 0, done.err
    assert same_weights(run_dir, uninterrupted)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on two ranks that this project has started."""
    folder = tmp_path_factory.mktemp("two")
    done = train(folder, *SMALL, *TWO)
    assert done.status == 0, done.err
    assert "2 ranks, each with 8 of the 16 images of a batch" in done.out
    return run_dirs(folder)[0]


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.strategy={_target_: lightning.pytorch.strategies.DDPStrategy, gradient_as_bucket_view: true}"],
        ["classifier.ema_decay=0.9", "callbacks=default", "metrics=[f1]"],
        ["optimizer=sam", "metrics=[f1]"],
        ["classifier.accumulate_grad_batches=3", "classifier.gradient_clip_norm=1"],
    ],
    ids=["strategy", "average", "sharpness", "accumulation"],
)
def test_two_ranks_do_what_one_does(words: list[str], tmp_path: Path) -> None:
    # 540 images in batches of 16: the last batch has 12, of which each rank takes 6
    done = train(tmp_path, *PLAIN, *TWO, "model=dense", *words)
    assert done.status == 0, done.err
    words = [word for word in words if "trainer." not in word]
    single = train(tmp_path, *PLAIN, "trainer.max_epochs=2", "model=dense", *words)
    assert single.status == 0, single.err
    two, one = run_dirs(tmp_path)
    assert [row["step"] for row in rows(two)] == [row["step"] for row in rows(one)]
    for key, value in weights(one).items():
        torch.testing.assert_close(weights(two)[key], value, rtol=1e-4, atol=1e-5)
    for row, other in zip(rows(two), rows(one), strict=True):
        for key in ("train/loss", "lr", *(key for key in row if key.startswith("val/") and "/class" not in key)):
            assert float(row[key]) == pytest.approx(float(other[key]), rel=1e-3)


def test_torchrun_on_one_node_and_on_two_trains_the_same_run(two_ranks: Path, tmp_path: Path) -> None:
    words = [*SMALL, *TWO[1:]]
    done = torchrun(tmp_path / "one", *words)
    assert done.status == 0, done.err
    assert done.out.count("writing to") == 1
    nodes = start_nodes(words, tmp_path)
    outputs = [node.communicate(timeout=240)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0]
    assert "finished" in outputs[0]
    assert outputs[1] == ""
    for folder in (tmp_path / "one", tmp_path):
        (run_dir,) = run_dirs(folder)
        assert same_weights(run_dir, two_ranks)
        assert curves(run_dir) == curves(two_ranks)


def test_two_ranks_are_a_plain_loop_in_ddp(tmp_path: Path) -> None:
    words = [
        *PLAIN,
        *TWO,
        "model=dense",
        "scheduler=constant",
        "optimizer.lr=0.1",
        "optimizer.momentum=0",
        "optimizer.nesterov=false",
        "optimizer.weight_decay=0",
    ]
    done = train(tmp_path, *words)
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(tmp_path)
    script = Path(__file__).parents[1] / "support" / "ddp_loop.py"
    loop = shell(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script), str(run_dir),
                 cwd=tmp_path, timeout=240, **environment())  # fmt: skip
    assert loop.status == 0, loop.err
    expected = torch.load(tmp_path / "loop.pt", weights_only=True)
    found = weights(run_dir, "last")
    assert all(torch.equal(found[f"network.{key}"], value) for key, value in expected.items())


def test_an_interrupted_run_resumes_bitwise_on_all_ranks_and_goes_on_alone(two_ranks: Path, tmp_path: Path) -> None:
    stop = "+callbacks.kill={_target_: support.kill_at.KillAt, step: 20, signum: 15}"
    for folder in ("bitwise", "alone"):
        stopped = train(tmp_path / folder, *SMALL, *TWO, stop, "steps_per_execution=4")
        assert stopped.status == 143, stopped.err
        without_the_kill(run_dirs(tmp_path / folder)[0])
    (run_dir,), (other,) = run_dirs(tmp_path / "bitwise"), run_dirs(tmp_path / "alone")
    assert train(tmp_path, f"resume={run_dir}").status == 0
    assert same_weights(run_dir, two_ranks)
    assert curves(run_dir) == curves(two_ranks)  # the half epoch's sums are those of all ranks
    done = train(tmp_path, f"resume={other}", "trainer.devices=1")
    assert done.status == 0, done.err
    for row, expected in zip(rows(other), rows(two_ranks), strict=True):
        assert (row["step"], row["lr"]) == (expected["step"], expected["lr"])
        # dropout and the statistics of batch norm differ from here on
        assert float(row["train/loss"]) == pytest.approx(float(expected["train/loss"]), rel=0.2)


def test_a_signal_to_the_command_saves_the_state_of_its_ranks(two_ranks: Path, tmp_path: Path) -> None:
    slow = "+callbacks.kill={_target_: support.failing.SlowSteps, seconds: 0.1}"
    running = Running([*SMALL, *TWO, slow], tmp_path)
    wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/last.ckpt")), seconds=120)
    os.kill(running.process.pid, signal.SIGUSR1)
    stopped = running.wait()
    assert stopped.status == 128 + signal.SIGUSR1, stopped.err
    assert "stopped by SIGUSR1, which a scheduler sends before the time limit; to go on, type:" in stopped.err
    (run_dir,) = run_dirs(tmp_path)
    assert read_summary(run_dir)["status"] == "interrupted"
    assert_goes_on(run_dir, two_ranks)


def test_a_rank_that_is_killed_ends_the_run_and_the_run_goes_on(two_ranks: Path, tmp_path: Path) -> None:
    kill = "+callbacks.kill={_target_: support.kill_at.KillRankAt, rank: 1, step: 40}"
    done = train(tmp_path, *SMALL, *TWO, kill, "callbacks.checkpoint.every_n_steps=7", "steps_per_execution=3")
    assert_one_screen(done, "rank 1 of 2 was killed (SIGKILL)", "To go on, type:")
    (run_dir,) = run_dirs(tmp_path)
    assert read_summary(run_dir)["status"] == "failed"
    assert_goes_on(run_dir, two_ranks)


def test_torchrun_starts_the_ranks_again_and_the_run_goes_on(two_ranks: Path, tmp_path: Path) -> None:
    kill = "+callbacks.kill={_target_: support.kill_at.KillRankAt, rank: 1, step: 40, once: true}"
    words = [*SMALL, *TWO[1:], kill, "callbacks.checkpoint.every_n_steps=7", "steps_per_execution=3"]
    done = torchrun(tmp_path, *words, options=("--nproc-per-node", "2", "--max-restarts", "1"))
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(tmp_path)
    assert "Going on from" in done.out
    assert same_weights(run_dir, two_ranks)


def test_the_ranks_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    words = [*SMALL, *TWO, "trainer.max_epochs=500"]
    command = started([sys.executable, str(ROOT / "train.py"), *words], tmp_path)
    wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/last.ckpt")), seconds=120)
    (run_dir,) = run_dirs(tmp_path)
    assert len(children_of(command.pid)) == 2
    command.kill()
    command.communicate(timeout=20)  # until its ranks, which write to the same pipes, have ended too
    assert train(tmp_path, f"resume={run_dir}", "trainer.devices=x").status == 1  # nothing is lost by a mistake


def test_the_ranks_of_torchrun_end_with_its_agent_and_the_run_goes_on(two_ranks: Path, tmp_path: Path) -> None:
    slow = "+callbacks.kill={_target_: support.failing.SlowSteps, seconds: 0.3}"
    words = [*SMALL, *TWO[1:], slow, "callbacks.checkpoint.every_n_steps=7", "steps_per_execution=3"]
    agent = started(torchrun_command(*words, options=("--nproc-per-node", "2")), tmp_path)
    wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/last.ckpt")), seconds=120)
    assert len(children_of(agent.pid)) == 2
    agent.kill()
    agent.communicate(timeout=20)
    (run_dir,) = run_dirs(tmp_path)
    # either nobody was left to record the end, or the first rank has lost the second one before it ended itself
    assert read_summary(run_dir)["status"] in ("running", "failed")
    assert_goes_on(run_dir, two_ranks)


def test_a_node_that_is_killed_ends_the_run_on_the_other_one_and_the_run_goes_on(
    two_ranks: Path, tmp_path: Path
) -> None:
    slow = "+callbacks.kill={_target_: support.failing.SlowSteps, seconds: 0.3}"
    words = [*SMALL, *TWO[1:], slow, "callbacks.checkpoint.every_n_steps=7", "steps_per_execution=3"]
    first, second = start_nodes(words, tmp_path)
    wait_for(lambda: list(tmp_path.glob("runs/*/checkpoints/last.ckpt")), seconds=120)
    for pid in (second.pid, *children_of(second.pid)):
        os.kill(pid, signal.SIGKILL)
    err = first.communicate(timeout=120)[1]
    second.communicate(timeout=60)
    assert first.returncode == 1, err
    (run_dir,) = run_dirs(tmp_path)
    assert read_summary(run_dir)["status"] == "failed"
    without_the_kill(run_dir)
    done = torchrun(tmp_path, f"resume={run_dir}")  # on one node
    assert done.status == 0, done.err
    assert same_weights(run_dir, two_ranks)


@pytest.mark.parametrize(
    ("words", "options", "texts"),
    [
        (["-m", "seed=0,1"], ("--nproc-per-node", "2"), ["torchrun starts the ranks of one run, and -m"]),
        (["trainer.devices=4"], ("--nproc-per-node", "2"), ["torchrun has started 2 processes", "ask for 4"]),
        (["optimizer.lr=abc"], ("--nproc-per-node", "2"), ["optimizer.lr"]),
        (["data.batch_size=1"], ("--nproc-per-node", "2"), ["data.batch_size=1 leaves a rank without images"]),
    ],
)
def test_a_mistake_under_torchrun_is_one_screen(
    words: list[str], options: tuple[str, ...], texts: list[str], tmp_path: Path
) -> None:
    done = torchrun(tmp_path, *PLAIN, *words, options=options)
    assert done.status == 1
    assert done.err.count("error: ") == 1, done.err
    for text in texts:
        assert text in done.err, done.err
    assert not list(tmp_path.glob("runs/*"))


def test_a_mistake_on_one_machine_is_told_on_both(tmp_path: Path) -> None:
    script = tmp_path / "each.sh"
    script.write_text(
        f'exec {sys.executable} {ROOT / "train.py"} optimizer.lr=$([ $RANK = 1 ] && echo abc || echo 1) "$@"\n'
    )
    nodes = [
        started(
            [sys.executable, "-m", "torch.distributed.run", *each, "--no-python", "sh", str(script), *PLAIN], tmp_path
        )
        for each in options_of_nodes()
    ]
    errors = [node.communicate(timeout=240)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [1, 1]
    for err in errors:
        assert err.count("Value 'abc'") == 1, err
    assert "rank 1 of 2 on" in errors[0]
    assert not list(tmp_path.glob("runs/*"))


def test_other_commands_are_refused_under_torchrun(two_ranks: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "convline", "evaluate"]
    done = shell(*command, str(two_ranks), cwd=tmp_path, timeout=240, **environment())
    assert done.status == 1
    assert done.err.count("convline evaluate works in one") == 1, done.err


def test_few_images_on_two_ranks(tmp_path: Path) -> None:
    words = [*PLAIN, *TWO, "model=dense", "logger=csv", "data.batch_size=539"]  # of 540: the last batch is on both
    assert train(tmp_path, *words).status == 0
    assert train(tmp_path, *words, "trainer.devices=1").status == 0
    two, one = map(rows, run_dirs(tmp_path))
    for row, other in zip(two, one, strict=True):
        assert float(row["train/acc"]) == pytest.approx(float(other["train/acc"]), abs=1e-9)
        assert float(row["train/loss"]) == pytest.approx(float(other["train/loss"]), rel=1e-5)
    done = train(tmp_path, *PLAIN, *TWO, "data.eval_batch_size=1", "trainer.limit_val_batches=1")
    assert "1 validation image cannot be divided among 2 ranks" in done.err
    assert len(run_dirs(tmp_path)) == 2


def test_a_script_trains_twice_under_torchrun_and_each_rank_has_the_run(tmp_path: Path) -> None:
    script = tmp_path / "twice.py"
    words = [*PLAIN, "trainer.max_epochs=1", "model=dense"]
    script.write_text(
        "from convline import train\n"
        "for seed in (0, 1):\n"
        f"    run = train([*{words}, f'seed={{seed}}'])\n"
        "    print(len(run.predictions('test').labels))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script)]
    done = shell(*command, cwd=tmp_path, timeout=240, **environment())
    assert done.status == 0, done.err
    assert done.out.splitlines().count("100") == 4
    assert len(run_dirs(tmp_path)) == 2


def test_ranks_that_resume_different_runs_are_refused(two_ranks: Path, tmp_path: Path) -> None:
    for name in ("run_0", "run_1"):
        shutil.copytree(two_ranks, tmp_path / name)
    script = tmp_path / "each.sh"
    script.write_text(f"exec {sys.executable} {ROOT / 'train.py'} resume={tmp_path}/run_$RANK\n")
    done = shell(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", "sh",
                 str(script), cwd=tmp_path, timeout=240, **environment())  # fmt: skip
    assert done.status == 1
    assert "rank 1 of 2 has other run directory than the first rank: run_1, not run_0" in done.err


def test_auto_goes_on_with_a_run_of_other_ranks_and_says_so(tmp_path: Path) -> None:
    kill = "+callbacks.kill={_target_: support.kill_at.KillRankAt, rank: 1, step: 40, once: true}"
    words = [*SMALL, *TWO[1:], kill, "callbacks.checkpoint.every_n_steps=7"]
    assert train(tmp_path, *words, "trainer.devices=2").status == 1
    done = train(tmp_path, *words, "resume=auto")
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(tmp_path)
    assert "Going on with 1 rank instead of 2" in done.out
    assert read_summary(run_dir)["ranks"] == [2, 1]


def test_ranks_with_other_settings_or_data_are_refused(tmp_path: Path) -> None:
    script = tmp_path / "each.sh"
    for word, expected in (("seed=$RANK", "seed=1, not 0"), ("data.source.seed=$RANK", "data.source.seed=1, not 0")):
        script.write_text(f'exec {sys.executable} {ROOT / "train.py"} {word} "$@"\n')
        done = shell(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", "sh",
                     str(script), *PLAIN, cwd=tmp_path, timeout=240, **environment())  # fmt: skip
        assert done.status == 1
        assert len(re.findall("^error: ", done.err, re.MULTILINE)) == 1, done.err
        assert expected in done.err
