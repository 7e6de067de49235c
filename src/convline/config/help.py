"""Write the page that `python train.py --help` prints, from the files of `conf/`."""

from pathlib import Path

from convline.config.options import CONF_DIR, groups, option_files

HEAD = """\
train.py: train a ConvNet, test it once, and keep everything that tells the run

USAGE
  python train.py [GROUP=OPTION …] [KEY=VALUE …]        one run
  python train.py -m GROUP=A,B KEY=1,2 …                a run for every combination
  python train.py resume=RUN_DIR                        go on where a run stopped
  python train.py model=lenet resume=auto               go on with the newest such run, or begin it

GROUPS (the default is marked *)"""

TAIL = """
SETTINGS
  Everything in conf/ can be set by its place: data.batch_size=64, optimizer.lr=0.1, trainer.max_epochs=10.
  --cfg job prints the whole config and runs nothing; debug=true shows the traceback of an error.

EXAMPLES
  python train.py                                                    LeNet on the embedded digits, no download
  python train.py model=lenet data=mnist                             ... on MNIST
  python train.py model=dense data=cifar10 optimizer=adam seed=3     another network, data set, optimizer, seed
  python train.py -m data=mnist optimizer.lr=0.1,0.01 seed=0,1       a sweep of four runs
  python train.py -m seed=0,1 hydra/launcher=ray                     ... on the machines of a Ray cluster
  python train.py data=mnist trainer=gpu trainer.precision=bf16-mixed compile=true

Results go to runs/; look at them with: convline dashboard runs"""


def help_page() -> str:
    """Return the whole page."""
    lines = [HEAD]
    defaults = _defaults()
    for group, options in groups().items():
        lines.append(f"  {group}")
        for option in options:
            mark = "*" if defaults.get(group) == option else " "
            lines.append(f"   {mark} {option:<22} {_summary(option_files()[group][option][-1])}")
    return "\n".join([*lines, TAIL])


def _summary(path: Path) -> str:
    """Return the first comment of an option's file that is not meant for Hydra."""
    comments = [
        line.removeprefix("#").strip()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith("#")
    ]
    return next((text for text in comments if text and not text.startswith("@package")), "")


def _defaults() -> dict[str, str]:
    """Return the default option of each group."""
    import yaml

    entries = yaml.safe_load((CONF_DIR / "train.yaml").read_text())["defaults"]
    return {key: value for entry in entries if isinstance(entry, dict) for key, value in entry.items()}
