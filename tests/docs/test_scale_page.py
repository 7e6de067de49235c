"""The commands of docs/scale.md, as they stand."""

import os
import sys
from pathlib import Path

import pytest

from convline.config import load_config
from convline.network.build import build_meta_network
from support import services
from support.commands import ROOT, Done, run_dirs, shell, wait_for
from support.run_files import summary
from support.services import free_port

PAGE = (ROOT / "docs" / "scale.md").read_text()
SECTIONS = dict(section.split("\n", 1) for section in PAGE.split("\n## ")[1:])


def block(section: str, language: str = "sh") -> str:
    """The first code block of a section."""
    return SECTIONS[section].split(f"```{language}\n")[1].split("```")[0]


def typed(script: str, folder: Path, **environment: str) -> Done:
    """A block of the page, in a folder that holds train.py; as on a terminal, but for the port, which may be taken."""
    (folder / "train.py").write_text((ROOT / "train.py").read_text())
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    script = script.replace("29500", str(free_port()))
    environment = {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"} | environment
    return shell("bash", "-e", "-c", script, cwd=folder, timeout=240, **environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "ranks"),
    [
        ("One process", 1),
        ("Several devices of one machine", 2),
        ("torchrun, on one machine", 2),
        ("torchrun, on several machines", 2),
    ],
)
def test_a_command_trains_one_run_on_its_ranks(section: str, ranks: int, tmp_path: Path) -> None:
    done = typed(block(section), tmp_path)
    assert done.status == 0, done.err
    (run_dir,) = run_dirs(tmp_path)
    assert summary(run_dir)["status"] == "finished"
    assert (f"{ranks} ranks, each with" in done.out) == (ranks > 1)


@pytest.mark.slow
def test_the_commands_of_slurm(tmp_path: Path) -> None:
    with services.slurm() as environment:
        for section in (title for title in SECTIONS if title.startswith("Slurm")):
            folder = tmp_path / section.replace(" ", "-")
            folder.mkdir()
            for script in SECTIONS[section].split("```sh\n")[1:]:
                done = typed(script.split("```")[0], folder, **environment)
                assert done.status == 0, done.err
                queue = ["squeue", "--noheader"]
                wait_for(lambda queue=queue: not shell(*queue, **environment).out, "end of the jobs", 120)
            runs = run_dirs(folder)
            assert (
                len(runs)
                == {"tasks of srun": 3, "a job that goes on by itself": 1, "an array over seeds": 2}[
                    section.removeprefix("Slurm: ")
                ]
            )
            assert {summary(run_dir)["status"] for run_dir in runs} == {"finished"}


@pytest.mark.slow
@pytest.mark.parametrize("section", ["Sweeps on one machine", "Sweeps on a cluster: Ray"])
def test_a_command_trains_a_sweep(section: str, tmp_path: Path) -> None:
    if "Ray" in section:
        pytest.importorskip("ray", reason="no Ray: pip install 'convline[ray]'")
    done = typed(block(section), tmp_path)
    assert done.status == 0, done.err
    assert [summary(run_dir)["status"] for run_dir in run_dirs(tmp_path)] == ["finished"] * 2


COMMUNICATION = {
    "LeNet, 28×28": ["model=lenet", "data=mnist"],
    "dense, 28×28": ["model=dense", "data=mnist"],
    "ResNet-20, 32×32": ["model=resnet20", "data=cifar10"],
    "ResNet-56, 32×32": ["model=resnet56", "data=cifar10"],
    "ResNet-18, 32×32": ["model=resnet18", "data=cifar10"],
    "ResNet-50, 32×32": ["model=resnet50", "data=cifar10"],
    "VGG-16, 32×32": ["model=vgg16", "data=cifar10"],
    "GoogLeNet, 32×32": ["model=googlenet", "data=cifar10"],
    "AlexNet, 224×224": ["model=imagenet/alexnet"],
    "GoogLeNet, 224×224": ["model=imagenet/googlenet"],
    "ResNet-50, 224×224": ["model=imagenet/resnet50"],
    "VGG-16, 224×224": ["model=imagenet/vgg16"],
}
IMAGENET = ["data=synthetic", "data.channels=3", "data.image_size=224", "data.num_classes=1000"]


@pytest.mark.parametrize("name", COMMUNICATION)
def test_the_costs_of_communication_are_those_of_the_networks(name: str) -> None:
    overrides = COMMUNICATION[name] + IMAGENET * name.endswith("224×224")
    summary = build_meta_network(load_config(overrides))[1]
    gradient_bytes, operations = 4 * summary.parameters, 6 * 128 * summary.macs  # float32; forward 2, backward 4
    row = f"| {name} | {summary.parameters:,} | {gradient_bytes / 2**20:,.2f} MiB "
    row += f"| {operations / 1e9:,.1f} GFLOP | {operations / gradient_bytes:,.0f} |"
    assert row in SECTIONS["What communication costs"].splitlines(), row
