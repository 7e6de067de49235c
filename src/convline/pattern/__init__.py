"""Read the pattern language: a text becomes a list of layer specs. Needs no torch."""

from convline.pattern.parser import parse
from convline.pattern.source import PatternError
from convline.pattern.vocabulary import UNITS

__all__ = ["UNITS", "PatternError", "parse"]
