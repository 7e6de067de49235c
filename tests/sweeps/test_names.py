"""Which folder a sweep with a name continues."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from convline.records.directory import update_summary
from convline.sweeps.directory import Folder, is_named, new_folder_path, open_folder
from convline.sweeps.jobs import Job


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("2026-01-01_00-00-00_second", "second", True),
        ("2026-01-01_00-00-00_second-2", "second", True),
        ("2026-01-01_00-00-00_sweep", "second", False),
        ("2026-01-01_00-00-00_the_second", "second", False),
        ("2026-01-01_00-00-00_a-b", "a/b", True),
        ("2026-01-01_00-00-00_sweep", None, True),
    ],
)
def test_a_name_asks_for_folders_of_this_name(folder: str, name: str | None, expected: bool) -> None:
    assert is_named(Path("runs") / folder, name) is expected


def test_a_sweep_with_a_name_of_its_own_does_not_join_another(tmp_path: Path) -> None:
    cfg = OmegaConf.create({"model": {}, "data": {}})
    jobs = [Job([f"seed={n}"], [f"seed={n}"], cfg, {}, "", str(n), str(n)) for n in range(3)]

    def folder(chosen: list[Job], name: str | None) -> Folder:
        sweep = OmegaConf.create({"sweep": {"dir": f"{tmp_path}/2026-01-01_00-00-00_sweep"}})
        config = OmegaConf.create({"hydra": {**sweep, "overrides": {"hydra": []}}, "name": name})
        path, explicit = new_folder_path(config)
        found, directories = open_folder(chosen, path.parent, path.name, explicit, "failed", name)
        for directory in directories:
            update_summary(directory, status="finished")
        return found

    first = folder(jobs[:2], None)
    second = folder(jobs[1:], "second")
    assert second.path.name == "2026-01-01_00-00-00_second"
    assert folder(jobs, "second").path == second.path
    assert first.path.name == "2026-01-01_00-00-00_sweep"
