"""Options, networks and optimizers of the user's own: from each place where they may lie, in every command."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from convline.config import load_config
from convline.config.help import help_page
from convline.errors import UserError
from convline.records.directory import read_summary, update_summary
from support.commands import Done, assert_one_screen, convline, run_dirs, shell, train

SHORT = ["callbacks=plain", "trainer=cpu", "trainer.max_epochs=1", "data.per_class=20"]
NETWORK = """
from torch import nn

from layers import activation  # a module beside the package


class Net(nn.Module):
    def __init__(self, width, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, images):
        return self.head(nn.functional.adaptive_avg_pool2d(activation(self.conv(images)), 2).flatten(1))
"""
OPTIONS = {
    "model/mine.yaml": "# My network\n_target_: mine.net.Net\nwidth: 4\nnum_classes: ${data.num_classes}\n",
    "optimizer/nadam.yaml": "# Adam with Nesterov momentum\n_target_: torch.optim.NAdam\n_partial_: true\nlr: 0.01\n",
    "experiment/mine.yaml": "# @package _global_\n# My experiment\ndefaults: [{override /model: mine}]\nseed: 3\n",
}


def write_project(folder: Path) -> Path:
    """Write a package with a network, and a folder of options beside it; return the latter."""
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "__init__.py").write_text("")
    (folder / "mine" / "net.py").write_text(NETWORK)
    (folder / "layers.py").write_text("from torch.nn.functional import relu as activation\n")
    for name, text in OPTIONS.items():
        path = folder / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "conf"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path / "project")
    return tmp_path / "project"


# Each way to one's own options: the folder to stand in, the words that name the folder of options, the model's words.
WAYS = {
    "--config-dir": (".", ["--config-dir", "{project}/conf"], ["model=mine", "optimizer=nadam"]),
    "hydra.searchpath": (".", ["hydra.searchpath=[file://{project}/conf]"], ["model=mine", "optimizer=nadam"]),
    "_target_": (
        "project",
        [],
        ["model._target_=mine.net.Net", "model.width=4", "optimizer._target_=torch.optim.NAdam"],
    ),
    "conf in the folder": ("project", [], ["model=mine", "optimizer=nadam"]),
}


def words_of(way: str, project: Path) -> tuple[Path, list[str], list[str]]:
    folder, place, choice = WAYS[way]
    return project.parent / folder, [word.format(project=project) for word in place], choice


def outputs(done: Done) -> str:
    assert done.status == 0, done.err
    return done.out


@pytest.mark.slow  # tests/config/test_every_group.py has a fast one of each group
@pytest.mark.parametrize("way", WAYS)
def test_own_code_runs_is_swept_resumed_from_another_folder_and_reported(way: str, project: Path) -> None:
    folder, place, choice = words_of(way, project)
    outputs(train(folder, *place, *choice, *SHORT))
    (run_dir,) = run_dirs(folder)
    recorded = json.loads((run_dir / "environment.json").read_text())["options"]
    assert recorded["foreign_code"].keys() == {"mine.net.Net"}
    assert recorded["foreign_code"]["mine.net.Net"].startswith("source ")
    elsewhere = project.parent / "elsewhere"
    # as if it had been killed before it wrote its outcome
    summary = json.loads((run_dir / "summary.json").read_text())
    (run_dir / "summary.json").write_text(json.dumps({**summary, "status": "interrupted"}))
    assert "Going on from" in outputs(train(elsewhere, f"resume={run_dir}"))
    assert "test/acc" in outputs(convline(elsewhere, "evaluate", str(run_dir)))
    sweep = [*place, *choice, *SHORT, "-m", "seed=0,1"]
    assert "2 to do" in outputs(train(folder, *sweep, "workers=2"))
    assert "2 finished already" in outputs(train(folder, *sweep))
    assert "val/acc" in outputs(convline(folder, "report", "runs"))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["--config-dir", "conf in the folder"])
def test_ranks_see_own_options_and_code(way: str, project: Path) -> None:
    folder, place, choice = words_of(way, project)
    assert "2 ranks" in outputs(train(folder, *place, *choice, *SHORT, "trainer.devices=2"))


@pytest.mark.parametrize("changed", [pytest.param("mine/net.py", marks=pytest.mark.slow), "layers.py"])
def test_an_edited_network_is_another_one(changed: str, project: Path) -> None:
    sweep = ["model=mine", *SHORT, "-m", "seed=0,1"]
    outputs(train(project, *sweep))
    (project / "unrelated.py").write_text("x = 1\n")
    assert "2 finished already" in outputs(train(project, *sweep))
    path = project / changed
    path.write_text(path.read_text().replace("relu", "tanh").replace(", 3)", ", 2)"))
    assert "2 jobs were done by another version of the code" in outputs(train(project, *sweep))


def test_code_in_another_folder_and_code_that_an_argument_names_are_a_part_of_it(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (project / "layers.py").rename(folder / "layers.py")
    (folder / "named.py").write_text("SLOPE = 1\n")
    cfg = {"model": {"_target_": "mine.net.Net", "kind": {"_target_": "builtins.str", "object": "named.SLOPE"}}}

    def key() -> dict[str, str]:
        code = "import json, convline.records.foreign_code as c; c.make_importable(c.import_folders());"
        code += f"print(json.dumps(c.code_of({cfg})))"
        done = shell(sys.executable, "-c", code, cwd=folder, CONVLINE_CONFIG_PATH=str(project / "conf"))
        assert done.status == 0, done.err
        return json.loads(done.out)

    first = key()
    assert first["mine.net.Net"].startswith("source")
    (folder / "layers.py").write_text("from torch import tanh as activation\n")
    second = key()
    assert second["mine.net.Net"] != first["mine.net.Net"]
    assert second["named.SLOPE"] == first["named.SLOPE"]
    (folder / "named.py").write_text("SLOPE = 2\n")
    assert key()["named.SLOPE"] != second["named.SLOPE"]


def test_a_run_that_goes_on_with_edited_code_says_so(project: Path) -> None:
    outputs(train(project, "model=mine", *SHORT))
    (run_dir,) = run_dirs(project)
    update_summary(run_dir, status="interrupted")
    path = project / "layers.py"
    path.write_text(path.read_text().replace("relu", "tanh"))
    done = train(project, f"resume={run_dir}")
    assert done.status == 0, done.err
    assert "warning: the code of mine.net.Net has changed since the run began" in done.err
    assert read_summary(run_dir)["changed_code"] == ["mine.net.Net"]


def test_own_options_are_listed_suggested_described_and_belong_to_experiments(project: Path) -> None:
    page = outputs(train(project, "--help"))
    assert "My network" in page
    assert "My experiment" in page
    assert_one_screen(train(project, "model=mien"), "model=mien", "did you mean 'mine'?")
    assert_one_screen(train(project, "optimizer=nadma"), "did you mean 'nadam'?")
    table = outputs(convline(project.parent, "describe", "--config-dir", str(project / "conf"), "model=mine"))
    assert "210" in table  # parameters: 4 × 9 + 4 of the convolution, 16 × 10 + 10 of the head
    outputs(train(project, "experiment=mine", *SHORT))
    (run_dir,) = run_dirs(project)
    assert json.loads((run_dir / "summary.json").read_text())["choices"]["model"] == "mine"


def test_a_folder_that_is_not_there_and_a_name_that_is_taken_are_refused(project: Path) -> None:
    assert_one_screen(train(project, "--config-dir", "nowhere"), "nowhere", "--config-dir DIR")
    assert_one_screen(train(project, "hydra.searchpath=[pkg://nowhere.conf]"), "there is no package nowhere.conf")
    shutil.copy(project / "conf" / "model" / "mine.yaml", project / "conf" / "model" / "lenet.yaml")
    assert_one_screen(train(project, "model=lenet"), "model=lenet is in two folders", "Rename your own")
    assert run_dirs(project) == []


class TestTrust:
    """Nothing from a run directory runs code that the user did not choose."""

    @pytest.fixture
    def run_dir(self, project: Path) -> Path:
        outputs(train(project, "model=mine", *SHORT))
        (run_dir,) = run_dirs(project)
        return run_dir

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "target",
        [
            "os.system",
            pytest.param("torch.optim.optimizer.functools.partial", marks=pytest.mark.slow),
            "convline.run.child_process.start_module",
            pytest.param("torch.hub.load", marks=pytest.mark.slow),
        ],
    )
    def test_a_config_that_names_other_code_is_refused(self, target: str, run_dir: Path, tmp_path: Path) -> None:
        config = run_dir / "config.yaml"
        text = config.read_text().replace("mine.net.Net", target)
        assert target in text
        config.write_text(text)
        for done in (
            convline(tmp_path, "evaluate", str(run_dir)),
            convline(tmp_path, "figures", str(run_dir)),
            train(tmp_path, f"resume={self.interrupted(run_dir)}"),
        ):
            assert_one_screen(done, f"names the code {target}", f"--trust {target}")

    @pytest.mark.slow
    def test_the_same_name_from_another_folder_is_refused(
        self, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = tmp_path / "stranger"
        write_project(other)
        summary = json.loads((run_dir / "summary.json").read_text())
        (run_dir / "summary.json").write_text(json.dumps({**summary, "code_folders": [str(other)]}))
        assert_one_screen(convline(tmp_path, "evaluate", str(run_dir)), "names the code mine.net.Net")
        assert "test/acc" in outputs(convline(tmp_path, "evaluate", str(run_dir), "--trust", "mine.net.Net"))
        monkeypatch.setenv("CONVLINE_TRUST", "1")
        assert "test/acc" in outputs(convline(tmp_path, "evaluate", str(run_dir)))

    def test_no_module_of_a_strangers_folder_is_imported(self, run_dir: Path, tmp_path: Path) -> None:
        """Neither of the folder that the run names nor of the current one, with an option that names the code."""
        other = tmp_path / "stranger"
        write_project(other)
        (other / "mine" / "net.py").write_text(f"open({str(tmp_path / 'opened')!r}, 'w')\n{NETWORK}")
        summary = json.loads((run_dir / "summary.json").read_text())
        (run_dir / "summary.json").write_text(json.dumps({**summary, "code_folders": [str(other)]}))
        (run_dir.parents[1] / "mine" / "net.py").unlink()
        config = (run_dir / "config.yaml").read_text()
        for target in ("mine.net.Net", "hydra.utils.get_class"):
            (run_dir / "config.yaml").write_text(config.replace("mine.net.Net", target))
            done = convline(other, "evaluate", str(run_dir))
            assert_one_screen(done, f"names the code {target}", f"--trust {target}")
        assert not (tmp_path / "opened").exists()

    @staticmethod
    def interrupted(run_dir: Path) -> Path:
        summary = json.loads((run_dir / "summary.json").read_text())
        (run_dir / "summary.json").write_text(json.dumps({**summary, "status": "interrupted"}))
        return run_dir


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"# mine\n_target_: x.y\n\twidth: 8\n", ["mine.yaml", "line 3"]),
        (b"# mine\n_target_: x.y\n_target_: x.z\n", ["mine.yaml", "duplicate key", "line 3"]),
        (b"# gr\xfcn\n_target_: x.y\n", ["mine.yaml", "not UTF-8"]),
    ],
)
def test_a_file_that_is_no_yaml_is_named(
    content: bytes, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        load_config(["model=mine"])
    assert all(text in str(caught.value) for text in texts), str(caught.value)
    assert len(str(caught.value).splitlines()) < 12
    assert "   mine" in help_page()
