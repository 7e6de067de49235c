"""Reproduce what tutorials of ConvNets state: one command per lesson, with figures, intervals and a verdict."""
