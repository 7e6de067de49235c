"""Comparisons as a table on the terminal, as Markdown and as JSON."""

import json
import os
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.measure import ALLOWED_CORES, Comparison
from convline.records import provenance

HEAD = ("comparison", "clock", "medians", "minima", "spread", "target", "met")


def machine() -> dict[str, Any]:
    """What it was measured on: hardware, versions, code."""
    described = provenance.environment("")
    del described["data_fingerprint"]
    described["hardware"]["cores_allowed"] = len(ALLOWED_CORES) or os.cpu_count()
    return described


def machine_line(described: dict[str, Any]) -> str:
    """The machine in one line."""
    hardware, packages = described["hardware"], described["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "torchvision", "lightning"))
    return (
        f"{hardware['cpu']}, {hardware['cores_allowed']} cores, {hardware['system']}; "
        f"Python {described['python']}, {versions}"
    )


def rows(comparisons: list[Comparison]) -> list[tuple[str, ...]]:
    """One line a comparison, in the order of `HEAD`."""
    return [
        (
            comparison.name,
            comparison.clock,
            f"{comparison.of_medians:.3g}",
            f"{comparison.of_minima:.3g}",
            f"{min(comparison.pairwise):.3g} – {max(comparison.pairwise):.3g}",
            f"{comparison.kind} {comparison.target:g}",
            "yes" if comparison.is_met else "no",
        )
        for comparison in comparisons
    ]


def rich_table(comparisons: list[Comparison]) -> Table:
    """For the terminal."""
    table = Table(*HEAD)
    for row in rows(comparisons):
        table.add_row(*row[:-1], f"[{'green' if row[-1] == 'yes' else 'red'}]{row[-1]}")
    return table


def markdown(comparisons: list[Comparison], described: dict[str, Any]) -> str:
    """The table and what it was measured on, for the documentation."""
    lines = [HEAD, ("---",) * len(HEAD), *rows(comparisons)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\nMeasured {described['started'][:10]} on {machine_line(described)}.\n\n{remarks(comparisons)}"


def remarks(comparisons: list[Comparison]) -> str:
    """The notes of each comparison that a reader needs, as a list."""
    return "\n".join(f"- {comparison.name}: {remark(comparison)}" for comparison in comparisons) + "\n"


def remark(comparison: Comparison) -> str:
    """What was compared with what, rounds, threads, data, and the checks that both ways did the same."""
    notes = comparison.notes
    compared = f"{comparison.ours} / {comparison.other}"
    parts = [compared, f"{len(comparison.our_samples)} rounds", f"threads: {notes['threads']}"]
    if "data" in notes:
        parts.append(notes["data"])
    if "epochs" in notes:
        parts.append(f"epochs: {notes['epochs']}")
        if notes.get("same_weights_bitwise"):
            parts.append("both end with bitwise the same weights")
        elif "largest_weight_difference" in notes:
            parts.append(f"both end with the same weights to within {notes['largest_weight_difference']:.1g}")
    if "seconds_by_workers" in notes:
        timed = ", ".join(f"{n}: {s:.2f} s" for n, s in notes["seconds_by_workers"].items())
        parts.append(f"{notes['images']:,} images; DataLoader by workers {timed}")
    if "remark" in notes:
        parts.append(notes["remark"])
    return "; ".join(parts)


def write_json(path: Path, comparisons: list[Comparison], described: dict[str, Any]) -> None:
    """Everything, samples included."""
    content = {"machine": described, "comparisons": [comparison.as_dict() for comparison in comparisons]}
    path.write_text(json.dumps(content, indent=2) + "\n")
