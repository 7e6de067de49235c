"""Imported last by the process from which `commands.Running` forks: its parsers and options are known to every fork."""

from convline.config import load_config

load_config(["data=synthetic", "data.batch_size=16", "callbacks.pictures=null"])
