"""`convline report` over many runs, against importing what one would read and draw them with.

Whole commands as child processes. The runs are made up, with real configs; the report reads every one and writes its
table as CSV, Markdown and a page with all plots. The imports are the least that a script of one's own would need before
it has read a single run, so the ratio says how many times that the whole report costs.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.measure import Comparison, Way, compare
from benchmarks.startup import child

IMPORTS = "import pandas, matplotlib.pyplot"
REPORT = "import sys; from convline.cli import main; sys.argv = ['convline', 'report', sys.argv[1]]; main()"


def compare_report(target: float, num_rounds: int, num_runs: int = 500) -> Comparison:
    """Measure the two commands.

    Args:
        target: largest ratio wanted.
        num_rounds: how often each is measured.
        num_runs: in the folder, five seeds of each configuration.
    """
    sys.path.append(str(Path(__file__).parents[2] / "tests"))  # the tests' own made-up runs serve here too
    from support.made_runs import make_sweep

    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder) / "runs" / "sweep"
        make_sweep(sweep, num_runs)
        report = [sys.executable, "-c", REPORT, str(sweep)]
        ours = Way("convline report: terminal, CSV, Markdown, page with plots", lambda: child(report))
        other = Way("import pandas, matplotlib.pyplot", lambda: child([sys.executable, "-c", IMPORTS]))
        measured = compare(f"report of {num_runs:,} runs", ours, other, "cpu", "at most", target, num_rounds)
        size = (sweep / "report.html").stat().st_size
    seconds = statistics.median(sample.cpu for sample in measured.our_samples)
    wall = statistics.median(sample.wall for sample in measured.our_samples)
    return measured.noted(
        threads=torch.get_num_threads(),
        runs=num_runs,
        page_bytes=size,
        remark=f"median of the report {seconds:.1f} s of processor time, {wall:.1f} s by the clock on the wall; "
        f"the page has {size / 1e6:.1f} MB",
    )
