"""Write a description of a run to TensorBoard: pattern, layers, command and environment, and the network's graph."""

import json
import shlex
import textwrap
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import OmegaConf

from convline.callbacks.tensorboard import event_writer, file_writer
from convline.data.datamodule import datamodule_of
from convline.formatting import markdown_text, shape_text
from convline.network.summary import NetworkSummary, summarize
from convline.network.tensorboard_graph import graph_def
from convline.records.directory import read_config, read_environment
from convline.training.classifier import Classifier

# Charts of the Custom Scalars tab, with the tags that they show.
LAYOUT = {
    "train against validation": {
        "loss": ["Multiline", ["^train/loss$", "^val/loss$"]],
        "accuracy": ["Multiline", ["^train/acc$", "^val/acc$"]],
    },
    "classes": {"validation accuracy of each class": ["Multiline", ["^val_acc_by_class/.*"]]},
    "health": {
        "learning rate": ["Multiline", ["^lr$"]],
        "norms of gradient and weights": ["Multiline", ["^norms/gradient$", "^norms/weights$"]],
        "update to weights": ["Multiline", ["^norms/update_to_weights$"]],
        "share of dead ReLUs": ["Multiline", ["^dead_relus/.*"]],
    },
}
COLUMNS = 100  # of the Text tab, which does not break the lines of code blocks


class Description(Callback):
    """Write pattern, layers, command, environment and graph into TensorBoard when a run begins, not when it is resumed.

    They are in the tabs Text and Graphs; the tab Custom Scalars is defined too.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write texts, graph and charts, unless the run is resumed."""
        writer = event_writer(trainer)
        if writer is None or trainer.global_step:
            return
        from tensorboard.compat.proto.event_pb2 import Event

        assert isinstance(pl_module, Classifier)
        data = datamodule_of(trainer)
        run_dir = Path(trainer.default_root_dir)
        for tag, text in texts(run_dir, summarize(pl_module.network, data.input_shape)).items():
            writer.add_text(tag, text, 0)
        graph = graph_def(pl_module.network, data.input_shape)
        file_writer(writer).add_event(Event(graph_def=graph.SerializeToString()))
        writer.add_custom_scalars(LAYOUT)


def texts(run_dir: Path, table: NetworkSummary) -> dict[str, str]:
    """Write the contents of the Text tab as Markdown, by tag."""
    contents = {"layers": markdown(table)}
    model = read_config(run_dir).model
    if model.get("pattern"):
        # blocks, and numbers that the pattern refers to by name
        settings = OmegaConf.create(
            {key: model[key] for key in model if key not in ("pattern", "_target_", "_convert_")}
        )
        contents["pattern"] = _code_block(f"{_wrapped(str(model.pattern).strip())}\n\n{OmegaConf.to_yaml(settings)}")
    if environment := read_environment(run_dir):
        arguments = [shlex.quote(argument) for argument in environment.pop("command", [])]
        is_long = sum(map(len, arguments)) + len(arguments) > COLUMNS
        contents["command"] = _code_block((" \\\n    " if is_long else " ").join(arguments))
        contents["environment"] = _code_block(json.dumps(environment, indent=2))
    return contents


def _code_block(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines())


def _wrapped(pattern: str) -> str:
    """Break long lines of a pattern at spaces, except lines with a comment, whose second part would become code."""
    style: Any = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "    "}
    lines = pattern.splitlines()
    return "\n".join(line if "#" in line else textwrap.fill(line, COLUMNS, **style) for line in lines)


def markdown(table: NetworkSummary) -> str:
    """Write the layer table and its sums as Markdown."""
    head = "| layer | output | parameters | multiply-adds | receptive field |\n|---|---|--:|--:|--:|"
    lines = [
        f"| {markdown_text(layer.name)} | {shape_text(layer.output_shape)} | {layer.parameters:,} | {layer.macs:,} "
        f"| {layer.receptive_field or ''} |"
        for layer in table.layers
    ]
    return "\n".join([head, *lines, f"| **sum** | | **{table.parameters:,}** | **{table.macs:,}** | |"])
