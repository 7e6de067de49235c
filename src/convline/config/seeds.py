"""`seeds=5` on the command line: the same configuration with five seeds."""

from collections.abc import Sequence

from convline.config import compose as config
from convline.errors import UserError


def spread(words: Sequence[str]) -> list[str]:
    """Replace `seeds=N` by the sweep over N seeds, from `seed` upwards, that it is short for; else the words as given.

    Raises:
        UserError: it is no number above 0, or the seeds are swept already.
    """
    short = [word for word in words if word.startswith("seeds=")]
    if not short:
        return list(words)
    others = [word for word in words if word not in short]
    text = short[-1].removeprefix("seeds=")
    if not (text.isdecimal() and int(text) > 0):
        raise UserError(f"{short[-1]}: how many seeds must be a whole number above 0, such as seeds=5")
    settings = [word for word in others if not word.startswith("-")]
    chosen = [override for override in config.parse_overrides(settings) if override.key_or_group == "seed"]
    if chosen and chosen[-1].is_sweep_override():
        raise UserError(f"{short[-1]} and {chosen[-1].input_line} both say which seeds; leave one of them out.")
    listed = [word for word in settings if not config.parse_overrides([word])[0].is_interval_sweep()]
    first = config.load_config(config.expand_sweep(listed)[0]).seed  # an interval is for the sweeper to judge
    kept = [word for word in others if not chosen or word != chosen[-1].input_line]
    multirun = [] if {"-m", "--multirun"} & set(others) else ["-m"]
    return [*multirun, *kept, f"seed=range({first},{first + int(text)})"]
