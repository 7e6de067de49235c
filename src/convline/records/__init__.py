"""Write and read run directories: layout, status, lock, provenance, test evaluation log."""

from convline.records.directory import load_checkpoint, read_config, read_summary, status

__all__ = ["load_checkpoint", "read_config", "read_summary", "status"]
