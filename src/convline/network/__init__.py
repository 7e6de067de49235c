"""Turn layer specs and an input shape into an `nn.Module`, and describe it: trace, summary, receptive fields, graph."""

from convline.network.build import build_network
from convline.network.summary import NetworkSummary, summarize
from convline.network.trace import trace

__all__ = ["NetworkSummary", "build_network", "summarize", "trace"]
