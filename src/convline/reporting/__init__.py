"""Read many runs, and turn them into tables, plots and comparisons. Needs neither torch nor the data.

`convline report` and `convline compare` are the functions `report` and `compare`.
"""

from convline.reporting.compare import compare
from convline.reporting.comparison import Comparison
from convline.reporting.configurations import Configuration, ReportTable, tables
from convline.reporting.report import report, report_sweep
from convline.reporting.run_records import RunRecord, find_runs, read_run
from convline.reporting.statistics import Difference, Sample

__all__ = [
    "Comparison",
    "Configuration",
    "Difference",
    "ReportTable",
    "RunRecord",
    "Sample",
    "compare",
    "find_runs",
    "read_run",
    "report",
    "report_sweep",
    "tables",
]
