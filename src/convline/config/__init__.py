"""Turn the overrides of a command line into one validated config. Importing it needs no torch."""

from convline.config.load import load_config, load_configs
from convline.config.overrides import expand_sweep

__all__ = ["expand_sweep", "load_config", "load_configs"]
