"""Write and read run directories: layout, status, lock, provenance, test evaluation log."""

from convline.records.checkpoints import load_checkpoint
from convline.records.directory import read_config, read_status, read_summary

__all__ = ["load_checkpoint", "read_config", "read_status", "read_summary"]
