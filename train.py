"""Train a ConvNet: `python train.py model=lenet data=mnist`; `python train.py --help` is the manual.

Everything it does is in the package: the config is composed from conf/ (`convline.main`), made into objects, fitted,
tested and recorded (`convline.run.train`).
"""

import sys

from convline.main import main

if __name__ == "__main__":
    sys.exit(main())
