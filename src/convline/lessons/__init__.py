"""Reproduce the claims of ConvNet tutorials: one command per lesson, with figures, intervals and a verdict."""
