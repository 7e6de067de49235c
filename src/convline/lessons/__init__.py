"""What tutorials of ConvNets say, done again: each lesson one command, with its figures, intervals and a verdict."""
