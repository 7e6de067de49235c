"""Convline: a ConvNet is a line of text, an experiment is a command, a sweep is a table with error bars."""
