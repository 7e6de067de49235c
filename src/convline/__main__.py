"""Run the command `convline` as `python -m convline`."""

from convline.cli import main

if __name__ == "__main__":
    main()
