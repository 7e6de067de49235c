"""Layer specs and an input shape become an `nn.Module`; its summary, receptive fields, graph and drawing."""

from convline.network.build import build_network

__all__ = ["build_network"]
