"""Callbacks: what is watched, drawn and kept while a network trains; one file each."""
