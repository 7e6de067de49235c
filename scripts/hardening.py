"""Tries bad input, damaged files and kills against Convline: `python scripts/hardening.py settings`.

Each command is a module of `scripts/hardening/` that has a function `command`. It prints counts for docs/reliability.md
and exits with 1 if anything failed.
"""

import importlib
import pkgutil

import typer

import hardening


def main() -> None:
    """Run the command of the module that the command line names."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

    @app.callback()
    def describe() -> None:
        """Try bad input, damaged files and kills; exit with 1 if anything fails."""

    for module in pkgutil.iter_modules(hardening.__path__):
        found = importlib.import_module(f"hardening.{module.name}")
        if hasattr(found, "command"):
            app.command(module.name)(found.command)
    app()


if __name__ == "__main__":
    main()
