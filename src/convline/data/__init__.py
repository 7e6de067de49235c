"""Data: source -> split -> resident tensors -> normalised batches."""
