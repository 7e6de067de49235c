"""Build an `nn.Module` from a pattern or a config, and describe it: summary, receptive fields, diagram, graph."""

from convline.network.build import build_meta_network, build_network
from convline.network.summary import NetworkSummary, summarize
from convline.network.trace import trace

__all__ = ["NetworkSummary", "build_meta_network", "build_network", "summarize", "trace"]
