"""A run that has been trained, as it is read back: its config, data, network and predictions."""

import shlex
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from convline.data.datamodule import DataModule
from convline.data.samples import Examples, examples, num_images
from convline.errors import UserError, first_line
from convline.records import directory as runs
from convline.records import test_log as ledger
from convline.training.evaluation import Evaluation
from convline.training.setup import data_of, initial_network


class TrainedRun:
    """What a run directory holds, each part read when it is first asked for.

    Args:
        run_dir: the run's.
        cfg, data, network: those of the run, for whoever has them already.
    """

    def __init__(
        self,
        run_dir: Path,
        cfg: DictConfig | None = None,
        data: DataModule | None = None,
        network: nn.Module | None = None,
    ) -> None:
        self.run_dir = run_dir
        self._has_looked = False
        if cfg is not None:
            self.cfg = cfg
        if data is not None:
            self.data = data
        if network is not None:
            self.network = network

    @cached_property
    def cfg(self) -> DictConfig:
        """The resolved config.

        Raises:
            UserError: `run_dir` is no run directory.
        """
        return runs.read_config(self.run_dir)

    @cached_property
    def data(self) -> DataModule:
        """The data, read.

        Raises:
            UserError: they are missing, damaged, or not those of the training.
        """
        data = data_of(self.cfg)
        runs.check_data(self.run_dir, data.fingerprint())
        return data

    @cached_property
    def network(self) -> nn.Module:
        """The network with the weights of the best epoch, averaged ones if there are, in evaluation mode on `device`.

        Raises:
            UserError: the checkpoint is missing or damaged.
        """
        cfg = self.cfg
        state = runs.load_checkpoint(self.run_dir / "checkpoints" / "best.ckpt")["state_dict"]
        prefix = "average.module." if any(key.startswith("average.module.") for key in state) else "network."
        network = initial_network(cfg)
        network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        if cfg.channels_last:
            network = network.to(memory_format=torch.channels_last)
        gpu = cfg.trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        return network.to("cuda" if gpu else "cpu").eval()

    @cached_property
    def initial_network(self) -> nn.Module:
        """The network before its first step, on the processor."""
        return initial_network(self.cfg)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        named = runs.read_summary(self.run_dir).get("class_accuracy")
        return tuple(named["val"]) if named else tuple(self.data.classes)

    def predictions(self, part: str) -> Evaluation:
        """What the network said of the images of one part ("val" or "test"), as the run has stored it.

        Raises:
            UserError: the run is not finished, or the file is damaged.
        """
        self._note_look(part)
        path = self.run_dir / "predictions" / f"{part}.npz"
        try:
            with np.load(path, allow_pickle=False) as saved:
                return Evaluation(torch.from_numpy(saved["logits"]), torch.from_numpy(saved["labels"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            # if it is no run at all, that is said instead
            if runs.read_summary(self.run_dir)["status"] == "finished":
                raise UserError(
                    f"{path} is missing or damaged ({first_line(error)}).\n"
                    "  The run is finished and does not write it again: put a copy back, or do the run anew."
                ) from error
            again = shlex.quote(f"resume={self.run_dir}")
            raise UserError(
                f"{path} is missing or damaged: the run is not finished.\n  Type: python train.py {again}"
            ) from error

    def examples(self, part: str, places: Tensor | int) -> Examples:
        """Images of one part, on the network's device.

        Args:
            part: "val" or "test".
            places: in the order of `predictions`; a number stands for so many first ones, or as many as there are.
        """
        self._note_look(part)
        if isinstance(places, int):
            places = torch.arange(min(places, num_images(self.data, part)))
        return examples(self.data, part, places, self.device)

    def _note_look(self, part: str) -> None:
        """A look at the test set leaves a trace; one for all figures that are drawn together."""
        if part == "test" and not self._has_looked:
            ledger.record(self.run_dir, "figures", self.data.fingerprint())
            self._has_looked = True

    def one_of_each_class(self, number: int) -> Examples:
        """The first validation image of each of the first so many classes; always the same ones."""
        labels = self.data.train_labels[self.data.val_indices[: num_images(self.data, "val")]]
        firsts = [(labels == label).nonzero() for label in range(self.data.num_classes)]
        places = [int(found[0]) for found in firsts if len(found)][:number]
        return self.examples("val", torch.tensor(places))


Run = Path | str | TrainedRun  # what a figure is drawn of: a run directory, or a run that is already open


def opened(run: Run) -> TrainedRun:
    """The run itself."""
    return run if isinstance(run, TrainedRun) else TrainedRun(Path(run))
