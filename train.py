"""Train a ConvNet: `python train.py model=lenet data=mnist`; `python train.py --help` is the manual.

Everything it does is in the package: the config is composed from conf/ (`convline.main`), made into objects, fitted,
tested and recorded (`convline.run.train`).
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `main` answers Ctrl-C, it prints no traceback of the imports

from convline.main import main  # noqa: E402
from convline.signals import exit_with  # noqa: E402

if __name__ == "__main__":
    exit_with(main())
