"""A ConvNet is a line of text, an experiment is a command, a sweep is a table with error bars.

```python
import convline

cfg = convline.load_config(["model=lenet", "data=mnist"])
network = convline.build_network("CONV(8) -> RELU -> POOL -> FC", input_shape=(1, 28, 28), num_classes=10)
run = convline.train("model=lenet data=mnist seed=3")
run = convline.load_run("runs/…")
```
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convline.config import load_config
    from convline.network import build_network
    from convline.run.api import train
    from convline.training import load_run

__all__ = ["build_network", "load_config", "load_run", "train"]

_HOMES = {
    "build_network": "convline.network",
    "load_config": "convline.config",
    "load_run": "convline.training",
    "train": "convline.run.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch takes seconds, and the command line must answer before."""
    if name not in _HOMES:
        raise AttributeError(f"module 'convline' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
