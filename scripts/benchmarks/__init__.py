"""What `scripts/benchmark.py` measures: one file a comparison, one for the measuring and one for the tables."""
