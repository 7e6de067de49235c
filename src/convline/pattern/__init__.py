"""Turn a text in the pattern language into a list of layer specs. The package needs no torch."""

from convline.pattern.parser import parse
from convline.pattern.source import PatternError
from convline.pattern.vocabulary import UNITS

__all__ = ["UNITS", "PatternError", "parse"]
