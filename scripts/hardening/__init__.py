"""What `scripts/hardening.py` tries: one module a command, which holds a function `command` for the command line."""
