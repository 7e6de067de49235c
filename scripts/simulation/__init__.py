"""Simulations of Convline's own statistics, by topic; `scripts/simulations.py` runs them."""
