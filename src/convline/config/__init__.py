"""Turn the overrides of a command line into one validated config. Needs no torch."""

from convline.config.compose import expand_sweep, load_config

__all__ = ["expand_sweep", "load_config"]
