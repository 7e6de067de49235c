"""The memory of a process in a container, by made-up control groups."""

import os
from pathlib import Path

import pytest

from convline.data.sources import synthetic
from convline.errors import UserError
from convline.machine import check_memory, memory_limit
from convline.network.build import build_network
from convline.pattern.source import PatternError

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def limit(tmp_path: Path, groups: str, files: dict[str, str]) -> int:
    """The limit of a process in `groups`, where the files below the root of the control groups hold these texts."""
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return memory_limit(tmp_path / "cgroup", tmp_path / "root")


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "1000000"}, 1_000_000),
        ("0::/\n", {"memory.max": "max"}, PHYSICAL),
        ("0::/\n", {"memory.max": str(2**59)}, PHYSICAL),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "2000000", "memory.max": "3000000"}, 2_000_000),
        ("0::/docker/123\n", {"memory.max": "3000000"}, 3_000_000),  # the host's path, which is not mounted
        ("5:cpu:/\n4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "4000000"}, 4_000_000),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, PHYSICAL),
        ("5:cpu:/\n", {"memory/memory.limit_in_bytes": "5"}, PHYSICAL),
        ("0::/\n", {}, PHYSICAL),
    ],
)
def test_the_lower_of_machine_and_control_group(
    tmp_path: Path, groups: str, files: dict[str, str], expected: int
) -> None:
    assert limit(tmp_path, groups, files) == expected


def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    assert memory_limit(tmp_path / "missing", tmp_path) == PHYSICAL


def test_a_network_beyond_the_container_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convline.network.build.memory_limit", lambda: 1_000_000)
    with pytest.raises(PatternError, match="weights up to here need"):
        build_network("fc(1000) -> fc", (1, 28, 28), 10)


def test_an_estimate_beyond_the_machine_is_refused_with_the_estimate() -> None:
    with pytest.raises(UserError, match=r"pictures need 1,024 GiB, but there are [\d,]+ GiB\.\n  Type fewer"):
        check_memory(2**40, "pictures", "Type fewer")
    check_memory(2**20, "pictures", "Type fewer")


def test_what_ulimit_leaves_of_the_address_space_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr("convline.machine.resource.getrlimit", lambda kind: (used + 2**28, used + 2**28))
    assert 2**27 < memory_limit() < 2**29


def test_synthetic_images_beyond_the_memory_are_refused_before_they_are_made() -> None:
    with pytest.raises(UserError, match=r"1,000,000,000 images of 3×1000×1000 need"):
        synthetic("test", 10**9, 1, (3, 1000, 1000), 10, 0.1, 0)
