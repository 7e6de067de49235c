"""What the documents say is so: the tree, the commands, the links."""

import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from convline import figures
from convline.cli import app
from convline.config.metrics import METRICS
from convline.config.options import groups
from support.commands import ROOT, SMALL, convline, run_dirs, shell, train

README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [content for name, content in found if name == language]


def commands(text: str) -> list[str]:
    lines = "".join(blocks(text, "sh")).splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith(("python train.py", "convline "))]


def test_the_tree_names_every_folder_and_nothing_that_is_not_there() -> None:
    (tree,) = (block for block in blocks(README, "") if block.startswith("train.py "))
    listed, folders = set(), [ROOT]
    for line in tree.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = folders[depth] / name
        folders[depth + 1 :] = [path]
        assert path.exists(), line
        assert len(line.split(maxsplit=1)) == 2 or path.is_dir(), f"no phrase: {line}"
        listed.add(path)
    for folder in (ROOT / "conf", ROOT / "src" / "convline"):
        packages = {p for p in folder.iterdir() if p.is_dir() and p.name != "__pycache__"}
        assert packages <= listed
    assert sum(path.suffix == ".py" for path in listed) <= 23  # what one starts with, not an index


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    package = ROOT / "src" / "convline"
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|yaml|toml|cfg))`", page.read_text()):
        assert any((folder / name).exists() for folder in (ROOT, package)), name


def test_every_subcommand_and_every_figure_is_on_a_page() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    for command in app.registered_commands:
        assert command.callback
        assert f"convline {command.name or command.callback.__name__}" in text, command.callback.__name__
    dashboards = (ROOT / "docs" / "dashboards.md").read_text()
    for name in figures.BY_NAME:
        assert name in dashboards, name


DATA_PAGE = (ROOT / "docs" / "data.md").read_text()
SWEEPS_PAGE = (ROOT / "docs" / "sweeps.md").read_text()
PATTERNS_PAGE = (ROOT / "docs" / "patterns.md").read_text()
DASHBOARDS_PAGE = (ROOT / "docs" / "dashboards.md").read_text()
COMMANDS_PAGES = (README, DATA_PAGE, SWEEPS_PAGE, PATTERNS_PAGE, DASHBOARDS_PAGE)  # lessons take hours
OF_RUNS = (
    "resume=",
    "convline evaluate",
    "convline report",
    "convline compare",
    "convline dashboard",
    "convline figures",
)
# parts of commands that take seconds each
LONG = (
    "data.val_fraction", "data.train_fraction", "tta=flip", "digits seeds=3",
    "data.image_size", "data/augment=mnist", "data.root=birds",
    "workers=2", "resnet20", "model.K=0,1", "data.fold=range", "seeds=5", "model=lenet,dense", "hydra/sweeper=search",
    "data.label_noise", "data.imbalance", "data.per_class", "data.val=first", "data/augment=cifar", "cutout",
)  # fmt: skip
TYPED = {
    command: pytest.param(command, marks=pytest.mark.slow if any(part in command for part in LONG) else ())
    for page in COMMANDS_PAGES
    for command in commands(page)
    if not any(of_runs in command for of_runs in OF_RUNS)
}


@pytest.mark.realdata
@pytest.mark.parametrize("command", TYPED.values())
def test_commands_of_readme_and_data_page_run(
    command: str, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVLINE_DATA", str(data_root))
    monkeypatch.setenv("CONVLINE_CACHE", str(tmp_path / "cache"))
    make_photographs(tmp_path / "photos")
    make_lists(tmp_path)
    program, *words = shlex.split(command.removeprefix("python "))
    short = ["trainer.max_epochs=1", *(f"trainer.limit_{part}_batches=1" for part in ("train", "val", "test"))]
    short += ["callbacks=plain"] * ("callbacks" not in command)  # pictures take most of a short run
    if program == "convline":
        done = convline(tmp_path, *words)
    else:
        done = train(tmp_path, *words, *([] if "--help" in words else short))
    assert done.status == 0, done.err


@pytest.mark.parametrize("page", COMMANDS_PAGES, ids=["README", "data", "sweeps", "patterns", "dashboards"])
def test_commands_can_be_typed_into_a_shell(page: str) -> None:
    for command in commands(page):
        assert shell("bash", "-n", "-c", command).err == "", command


@pytest.mark.slow
def test_the_page_of_extensions_works_as_it_is_written(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "extend.md").read_text()
    for language in ("python", "yaml"):
        for block in blocks(page, language):
            path = tmp_path / block.partition("\n")[0].removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.partition("\n")[2])
    for command in commands(page):
        program, name, *words = shlex.split(command)
        assert program == "convline"
        if name == "train":
            words += ["trainer.max_epochs=2"] + ["callbacks=plain"] * ("callbacks" not in command)
        done = convline(tmp_path, name, *words)
        assert done.status == 0, (command, done.err)


def test_every_metric_is_on_the_page_of_extensions() -> None:
    page = (ROOT / "docs" / "extend.md").read_text()
    assert all(f"`{name}`" in page for name in set(METRICS) - {"acc", "loss"})


@pytest.mark.slow
def test_the_first_command_of_the_readme_as_it_stands(tmp_path: Path) -> None:
    assert commands(README)[0] == "python train.py"
    done = train(tmp_path)
    assert done.status == 0, done.err
    assert "test accuracy" in done.out


def test_the_table_of_data_sets_has_every_option() -> None:
    rows = {line.split("`")[1] for line in DATA_PAGE.splitlines() if line.startswith("| `")}
    assert set(groups()["data"]) <= rows


def make_photographs(folder: Path) -> None:
    """A folder of one's own images, as docs/data.md has it."""
    for number in range(200):
        path = folder / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 30), 40 + number).save(path)


def make_lists(folder: Path) -> None:
    """Images that files of labels list, as docs/data.md has them."""
    lines = ["image,red,green,blue", *(f"{i}.jpg,{i % 2},{i // 2 % 2},{i // 4 % 2}" for i in range(200))]
    for number in range(200):
        path = folder / "movies" / "images" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 30), 40 + number).save(path)
    (folder / "movies" / "labels.csv").write_text("\n".join(lines) + "\n")
    for split, count in (("train", 160), ("validation", 20)):
        (folder / "birds" / split).mkdir(parents=True)
        for number in range(count):
            Image.effect_noise((40, 30), 40 + number).save(folder / "birds" / split / f"{number}.png")
        lines = [
            "file_name,label",
            *(f"{number}.png,{'great tit' if number % 2 else 'wren'}" for number in range(count)),
        ]
        (folder / "birds" / split / "metadata.csv").write_text("\n".join(lines) + "\n")


def test_resume_and_evaluate_as_the_readme_types_them(tmp_path: Path) -> None:
    assert train(tmp_path, *SMALL).status == 0
    (run_dir,) = run_dirs(tmp_path)
    pages = commands(README) + commands(DATA_PAGE)
    typed = [shlex.split(command)[1:] for command in pages if "resume=" in command or "evaluate" in command]
    assert [words[0].split("=")[0] for words in typed] == ["train.py", "evaluate", "evaluate"]
    named = re.search(r"runs/\S+", README)
    assert named
    for words in typed:
        words = [word.replace(named.group().rstrip(","), str(run_dir)) for word in words]
        words = [word.replace("RUN_DIR", str(run_dir)) for word in words]
        done = train(tmp_path, *words[1:]) if words[0] == "train.py" else convline(tmp_path, *words)
        assert done.status == 0, done.err


@pytest.mark.parametrize("option", re.findall(r"\| `([a-z_./]+=.*)` \|", README))
def test_options_of_the_readme_are_options(option: str) -> None:
    from convline.config import load_config

    for words in option.split("`, `"):
        assert load_config(words.split()).seed == 0


# one that needs a graphics card, and those that train on a few batches to look for a bug
NOT_TO_LEARN = ("trainer=gpu", "trainer=one_batch", "trainer=overfit", "trainer=profile")


@pytest.mark.slow
@pytest.mark.parametrize("option", re.findall(r"\| `([a-z_./]+=.*)` \|", README))
def test_a_network_learns_with_each_option_of_the_readme(option: str, tmp_path: Path) -> None:
    for words in option.split("`, `"):
        if not words.startswith(NOT_TO_LEARN):
            done = train(tmp_path, "data=digits", "trainer.accelerator=cpu", *words.split())
            assert done.status == 0, done.err
            summary = json.loads((run_dirs(tmp_path)[-1] / "summary.json").read_text())
            assert summary["metrics"]["test/acc"] > 0.8, words  # 0.1 is chance
