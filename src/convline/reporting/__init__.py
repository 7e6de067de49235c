"""Many run directories -> tables, plots, comparisons. Reads files; imports neither torch nor the training."""
