"""What the project promises as a package: its public names, its fast start, its versions and its dependencies."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import convline
from support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("name", convline.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    assert getattr(convline, name).__doc__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = convline.nope


LIGHT = ["convline", "convline.main", "convline.config", "convline.pattern", "convline.records", "convline.reporting"]
HEAVY = ("torch", "lightning", "pandas", "sklearn")


@pytest.mark.parametrize("package", LIGHT)
def test_what_answers_before_training_imports_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_releases_of_lightning_that_were_malware_are_neither_allowed_nor_locked() -> None:
    """lightning 2.6.2 and 2.6.3 on the package index stole credentials at import."""
    ranges = [line for line in PROJECT["dependencies"] if re.match(r"(pytorch-)?lightning\b", line)]
    assert ranges == ["lightning>=2.6.4,<2.7"]
    lock = (ROOT / "requirements.lock").read_text()
    assert re.findall(r"^(?:pytorch-)?lightning==(\S+)", lock, re.MULTILINE)
    assert not re.search(r"^(pytorch-)?lightning==2\.6\.[23]\b", lock, re.MULTILINE)


def test_the_lock_and_the_project_name_no_address() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_versions_agree() -> None:
    version = PROJECT["version"]
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_extra_that_a_text_names_exists() -> None:
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"]
    paths += [path for folder in ("src", "docs", "scripts", "tests") for path in (ROOT / folder).rglob("*.*")]
    named = set()
    for path in paths:
        if path.suffix in (".py", ".md", ".toml"):
            for names in re.findall(
                r"(?:convline|\"\.)\[([a-z,]+)\]", path.read_text()
            ):  # convline[search], ".[search]"
                named |= set(names.split(","))
    assert {"lessons", "notebooks", "search", "slurm"} <= named
    assert named <= set(PROJECT["optional-dependencies"])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Build the wheel, unpack it, and return an environment in which Python imports it instead of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


def run_installed(environment: dict[str, str], folder: Path, *words: str) -> str:
    command = [sys.executable, "-P", "-m", "convline", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_trains_with_its_own_options(installed: dict[str, str], tmp_path: Path) -> None:
    out = run_installed(installed, tmp_path, "train", "trainer.max_epochs=1", "callbacks=plain", "trainer=cpu")
    assert "test accuracy" in out
    (run_dir,) = (tmp_path / "runs").glob("*_lenet_digits")
    assert json.loads((run_dir / "summary.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_the_wheel_holds_license_types_options_and_stored_results(installed: dict[str, str], tmp_path: Path) -> None:
    site = Path(installed["PYTHONPATH"])
    options = {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    assert {path.relative_to(site / "convline" / "conf") for path in site.rglob("convline/conf/**/*.yaml")} == options
    assert (site / "convline" / "py.typed").is_file()
    assert list(site.glob("convline-*.dist-info/licenses/LICENSE"))
    assert run_installed(installed, tmp_path, "--version") == f"convline {PROJECT['version']}\n"
    assert "lenet5_mnist" in run_installed(installed, tmp_path, "reproduce", "--list")
