"""Running the project's real commands from tests.

`python train.py` spends five seconds importing torch and Lightning. `train` runs the same `main` in a process forked
from one that has them loaded: a real process with its own signals and exit status, started in a tenth of a second.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardening import points

ROOT = Path(__file__).parents[2]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        *(
            "convline.run.train",
            "convline.commands.evaluate",
            "convline.cli",
            "convline.figures",
            "convline.sweeps.search",
        ),
        *(f"convline.callbacks.{path.stem}" for path in sorted((ROOT / "src/convline/callbacks").glob("[a-z]*.py"))),
        *("hydra.main", "hydra._internal.core_plugins", "torch.utils.tensorboard", "PIL.JpegImagePlugin"),
        "support.warm",
    ]
)

# Small enough for a test, with dropout and batch norm so that random and running state matter, and without pictures.
SMALL = [
    "data=synthetic",
    "data.source.num_train=600",
    "data.source.num_test=100",
    "data.source.noise=0.6",
    "data.batch_size=16",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
    "callbacks.pictures=null",
    "callbacks.projector=null",
    'model.pattern="CONV(4) -> BATCHNORM -> RELU -> POOL -> DROPOUT(0.3) -> FC(16) -> RELU -> FC"',
]


@dataclass
class Done:
    """A command that has ended."""

    status: int  # exit status; minus the signal's number if one killed it
    out: str
    err: str


class Running:
    """A command that runs in `folder`; its output goes to files there."""

    def __init__(
        self, words: list[str], folder: Path, program: str = "train", environment: dict[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = folder / f".out-{time.monotonic_ns()}", folder / f".err-{time.monotonic_ns()}"
        environment = {**os.environ, **(environment or {})}  # as it is now, not when the first command ran
        self.process = _context.Process(
            target=_call, args=(program, words, str(folder), *map(str, self._files), environment)
        )
        self.process.start()

    def wait(self, seconds: float = 120) -> Done:
        """Wait for the end."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"still running after {seconds} s:\n{self._files[0].read_text()}")
        out, err = (f.read_text() if f.exists() else "" for f in self._files)
        return Done(self.process.exitcode, out, err)


def _call(program: str, words: list[str], folder: str, out: str, err: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch

    torch.set_num_threads(1)
    if points.PLAN in environment:
        points.install(points.Plan.decode(environment[points.PLAN]), os.getpid())
    if program == "train":
        from convline.main import main

        sys.argv = ["train.py", *words]
        sys.exit(main())
    from convline.cli import main as cli_main

    sys.argv = ["convline", *words]
    cli_main()


def train(folder: Path, *words: str) -> Done:
    """`python train.py WORDS` in `folder`."""
    return Running(list(words), folder).wait()


def convline(folder: Path, *words: str) -> Done:
    """`convline WORDS` in `folder`."""
    return Running(list(words), folder, "convline").wait()


def wait_for(condition: Callable[[], object], what: str = "what is waited for", seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.05)


def run_dirs(folder: Path) -> list[Path]:
    """The run directories below `folder`/runs, oldest first."""
    return sorted((path.parent for path in (folder / "runs").rglob("config.yaml")), key=lambda p: p.stat().st_mtime_ns)


def shell(*command: str, cwd: Path = ROOT, timeout: float = 120, **environment: str) -> Done:
    """A command in a process of its own, from nothing."""
    env = {**os.environ, **environment}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)
    return Done(done.returncode, done.stdout, done.stderr)


def assert_one_screen(done: Done, *texts: str) -> None:
    """It ended with an error for people: a few lines that hold these texts."""
    assert done.status == 1, done.out + done.err
    assert done.err.startswith("error: "), done.err
    assert "Traceback" not in done.err + done.out, done.err
    assert len(done.err.splitlines()) <= 12, done.err
    for text in texts:
        assert text in done.err, done.err
