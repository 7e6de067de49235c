"""A process that begins a run imports what it needs, and nothing that takes seconds before it is needed."""

import subprocess
import sys


def test_neither_torch_nor_lightning_is_imported_before_the_run_begins() -> None:
    code = "import convline.main, convline.sweeps, sys; print({'torch', 'lightning'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_what_starts_ranks_imports_no_lightning() -> None:
    code = "import convline.main, convline.run.launch, sys; print('lightning' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
