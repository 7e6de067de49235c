"""Texts from outside in the drawing of a network and in the texts of TensorBoard."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from convline.callbacks.run_description import markdown
from convline.network import build_network
from convline.network.diagram import draw
from convline.network.summary import NetworkSummary, summarize
from support.hostile import HARMLESS, TEXTS, UNSEEN

NETWORK = build_network("FC(4) -> RELU -> FC", input_shape=(1, 4, 4), num_classes=2)
SUMMARY = summarize(NETWORK, (1, 4, 4))


@pytest.mark.parametrize("text", TEXTS)
def test_svg(text: str) -> None:
    def elements(title: str) -> list[str]:
        return [element.tag for element in ElementTree.fromstring(draw(NETWORK, SUMMARY, title)).iter()]

    assert elements(text) == elements(HARMLESS)
    assert not set(UNSEEN) & set(draw(NETWORK, SUMMARY, text))


@pytest.mark.parametrize("text", TEXTS)
def test_layers_of_tensorboard(text: str) -> None:
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    hostile = replace(SUMMARY, layers=tuple(replace(layer, name=text) for layer in SUMMARY.layers))

    def tags(table: NetworkSummary) -> list[str]:
        tokens = parser.parse(markdown(table))
        inner = [child for token in tokens for child in token.children or ()]
        return [token.tag or token.type for token in [*tokens, *inner] if token.type != "text"]

    assert tags(hostile) == tags(SUMMARY)
