"""Ask the machine how much memory and how many processor cores this process may use; a container may set limits."""

import os
from pathlib import Path

from convline.errors import UserError

try:
    import resource
except ImportError:  # Windows has no limits of this kind
    resource = None  # type: ignore[assignment]

_NO_LIMIT = 2**60  # cgroup v1 writes a number near 2^63 where there is no limit


def memory_limit(cgroup_file: Path = Path("/proc/self/cgroup"), cgroup_root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of memory that this process may use at most.

    A container's limit is a control group's (cgroup), and `sysconf` does not know it: in a container of 4 GB on a
    machine of 256 GB it returns the machine's memory, and a process that believes it is killed.

    Args:
        cgroup_file: names the control groups of this process, one a line: `0::/path` in version 2,
            `NUMBER:memory:/path` in version 1. Where it is missing, as on macOS, the machine's memory counts.
        cgroup_root: the directory of the control groups.

    Source: Linux kernel documentation, "Control Group v2", `memory.max`; "Memory Resource Controller" (version 1),
    `memory.limit_in_bytes`.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_cgroup_limits(cgroup_file, cgroup_root), *_address_space_left()])


def check_memory(num_bytes: float, subject: str, remedy: str) -> None:
    """Check that this process may use so many bytes, before it asks for them.

    Args:
        num_bytes: an estimate.
        subject: what needs them, in the plural.
        remedy: what to type instead.
    Raises:
        UserError: it may not; names the estimate.
    """
    limit = memory_limit()
    if num_bytes > limit:
        raise UserError(
            f"{subject} need {num_bytes / 2**30:,.0f} GiB, but there are {limit / 2**30:,.0f} GiB.\n  {remedy}"
        )


def num_cores() -> int:
    """Count the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the bytes of memory that this process may still take: what is free, and no more than `memory_limit`.

    Args:
        meminfo: names the free memory of the machine; where it is missing, as on macOS, the limit counts.
    """
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    except OSError:
        return memory_limit()
    return min(memory_limit(), int(lines["MemAvailable"].split()[0]) * 1024)


def _cgroup_limits(cgroup_file: Path, cgroup_root: Path) -> list[int]:
    """Return the limits of this process's control group and of every group around it."""
    try:
        lines = cgroup_file.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            root, name = cgroup_root, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroup_root / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be the host's, which is not mounted: then the root is the container's group.
        group = root / path.lstrip("/")
        for directory in (group, *group.parents):
            limits += _read_limit(directory / name)
            if directory == root:
                break
    return limits


def _address_space_left() -> list[int]:
    """Return what `ulimit -v` leaves of this process's address space; nothing where it sets no limit."""
    if resource is None:
        return []
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return []
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        used = 0
    return [max(0, limit - used)]


def _read_limit(file: Path) -> list[int]:
    """Return the limit in a file; nothing if there is no file, or no limit (`max`)."""
    try:
        text = file.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdecimal() and 0 < int(text) < _NO_LIMIT else []


def process_exists(pid: int) -> bool:
    """Return whether there is a process of this id on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        pass
    return True
