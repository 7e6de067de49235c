"""Aggregate many runs into tables, plots and comparisons. This package imports neither torch nor data sets.

`convline report` calls `report`, and `convline compare` calls `compare`.
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
