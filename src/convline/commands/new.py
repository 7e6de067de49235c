"""Write a project of the user's own that runs at once, for `convline new DIR`."""

import keyword
import re
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from convline.errors import UserError

TEMPLATE = Path(__file__).parent / "project_template"
FILES = {
    "README.md": "README.md",
    "conf/model/{package}.yaml": "model.yaml",
    "conf/data/{package}.yaml": "data.yaml",
    "conf/callbacks/{package}.yaml": "callbacks.yaml",
    "conf/experiment/{package}.yaml": "experiment.yaml",
    "{package}/network.py": "network.py",
    "{package}/data.py": "data.py",
    "{package}/metric.py": "metric.py",
    "{package}/callback.py": "callback.py",
    "tests/test_{package}.py": "test.py",
}


def new_project(folder: Path) -> None:
    """Write a project into a folder that does not exist or is empty: options, a package that they name, and tests.

    Args:
        folder: its last part names the project and its package.
    Raises:
        UserError: the folder holds something, cannot be written, or its name is no name of a package.
    """
    name = folder.absolute().name
    package = name.lower().replace("-", "_").replace(" ", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package):
        raise UserError(f"{name} is no name of a Python package: begin with a letter, then letters, digits and _.")
    reserved = {"conf", "tests", "runs", "convline", "torch", *keyword.kwlist, *sys.stdlib_module_names}
    if package in reserved:
        raise UserError(f"a package {package} would hide another one: choose another name.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty: name a new folder.")
    templates = Environment(loader=FileSystemLoader(TEMPLATE), undefined=StrictUndefined, keep_trailing_newline=True)
    try:
        for path, template in FILES.items():
            target = folder / path.format(package=package)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(templates.get_template(f"{template}.j2").render(name=name, package=package))
        (folder / package / "__init__.py").write_text(f'"""The code of {name}."""\n')
        (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}.") from error
    print(f"{folder} is written. Type:\n  cd {folder}\n  convline train experiment={package}")
