"""Load a trained run from its directory: its config, data, network and predictions."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from convline.config.trainer_settings import takes_cuda
from convline.data.datamodule import DataModule
from convline.data.samples import Samples, load_samples
from convline.errors import UserError
from convline.formatting import resume_command
from convline.records import test_log
from convline.records.checkpoints import load_checkpoint, load_weights
from convline.records.directory import check_data, read_summary, read_trusted_config
from convline.records.files import RunFileError
from convline.records.predictions import REMEDY, read_predictions
from convline.training.evaluation import Evaluation
from convline.training.setup import build_initial_network, load_data

DTYPES = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "16-true": torch.float16}  # of the weights


class LoadedRun:
    """Load config, data, network and predictions of a run directory, each at its first use.

    Args:
        run_dir: the run directory.
        cfg, data, network: config, data module and network of the run, if the caller has them; else they are read.
        data_root: folder in which the data lie now, if they were moved since the run began.
    """

    def __init__(
        self,
        run_dir: Path,
        cfg: DictConfig | None = None,
        data: DataModule | None = None,
        network: nn.Module | None = None,
        data_root: str | None = None,
    ) -> None:
        self.run_dir = run_dir
        self._data_root = data_root
        self._test_set_is_logged = False
        if cfg is not None:
            self.cfg = cfg
        if data is not None:
            self.data = data
        if network is not None:
            self.network = network

    @cached_property
    def cfg(self) -> DictConfig:
        """Read the resolved config.

        Raises:
            UserError: `run_dir` is no run directory, or its config names code that is not trusted.
        """
        return read_trusted_config(self.run_dir, self._data_root)

    @cached_property
    def data(self) -> DataModule:
        """Read the data set, and check that the run was trained on the same data.

        Raises:
            UserError: the data are missing or damaged, or differ from the training data.
        """
        data = load_data(self.cfg)
        check_data(self.run_dir, data.fingerprint())
        return data

    @cached_property
    def network(self) -> nn.Module:
        """Load the network of the best epoch in evaluation mode, with averaged weights if the run has them.

        Raises:
            UserError: the checkpoint is missing or damaged, or of another network.
        """
        cfg = self.cfg
        path = self.run_dir / "checkpoints" / "best.ckpt"
        state = load_checkpoint(path)["state_dict"]
        prefix = "average.module." if any(key.startswith("average.module.") for key in state) else "network."
        network = build_initial_network(cfg)
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        load_weights(network, weights, path)
        network = network.to(DTYPES.get(cfg.trainer.precision, torch.float32))
        if cfg.channels_last:
            network = network.to(memory_format=torch.channels_last)
        gpu = takes_cuda(cfg) and torch.cuda.is_available()
        return network.to("cuda" if gpu else "cpu").eval()

    @cached_property
    def initial_network(self) -> nn.Module:
        """Build the network with its initial weights, on the CPU."""
        return build_initial_network(self.cfg)

    @property
    def device(self) -> torch.device:
        """Return the device of the network's weights."""
        tensors = [*self.network.parameters(), *self.network.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        # the summary of a finished run holds the names, so that the data set need not be read
        class_accuracy = read_summary(self.run_dir).get("class_accuracy")
        return tuple(class_accuracy["val"]) if class_accuracy else tuple(self.data.classes)

    def predictions(self, split: str) -> Evaluation:
        """Read the stored logits and labels of a split, "val" or "test".

        Raises:
            UserError: the run is not finished, or the file is damaged.
        """
        self._log_test_set_evaluation(split)
        path = self.run_dir / "predictions" / f"{split}.npz"
        try:
            logits, labels = read_predictions(path)
        except RunFileError as error:
            # reading the summary raises if the directory is no run at all, which is then the error to show
            if read_summary(self.run_dir)["status"] == "finished":
                raise
            raise UserError(
                f"{path} {error.problem}: the run is not finished.\n  Type: {resume_command(self.run_dir)}"
            ) from error
        if logits.shape[1] != len(self.classes):
            raise RunFileError(path, f"is damaged: it has {logits.shape[1]} classes, not {len(self.classes)}", REMEDY)
        return Evaluation(torch.from_numpy(logits), torch.from_numpy(labels))

    def samples(self, split: str, indices: Tensor | int) -> Samples:
        """Take images of a split, on the network's device.

        Args:
            split: "val" or "test".
            indices: indices in the order of `predictions`; an integer n takes the first n images, or all if there are
                fewer.
        """
        self._log_test_set_evaluation(split)
        if isinstance(indices, int):
            indices = torch.arange(min(indices, self.data.num_eval_images(split)))
        return load_samples(self.data, split, indices, self.device)

    def _log_test_set_evaluation(self, split: str) -> None:
        """Record an evaluation of the test set; once for all figures that are drawn together."""
        if split == "test" and not self._test_set_is_logged:
            test_log.record(self.run_dir, "figures", self.data.fingerprint())
            self._test_set_is_logged = True

    def one_sample_per_class(self, num_classes: int) -> Samples:
        """Take the first validation image of each of the first `num_classes` classes; always the same images."""
        labels = self.data.val_labels[: self.data.num_eval_images("val")]
        shown = [labels[:, k] > 0 if self.data.is_multilabel else labels == k for k in range(self.data.num_classes)]
        # the first image of two classes is shown once
        firsts = list(dict.fromkeys(int(is_of_class.nonzero()[0]) for is_of_class in shown if is_of_class.any()))
        return self.samples("val", torch.tensor(firsts[:num_classes], dtype=torch.int64))

    def label_names(self, labels: Tensor, classes: Sequence[str] = ()) -> list[str]:
        """Write the labels of images as text: the class's name, or those of a multi-label image, or "none".

        Args:
            labels: N, or of multi-label images N×classes.
            classes: other names of the classes.
        """
        classes = classes or self.classes
        if labels.ndim == 1:
            return [classes[label] for label in labels.tolist()]
        rows = [[name for name, is_shown in zip(classes, row, strict=True) if is_shown] for row in labels.tolist()]
        return [", ".join(row) or "none" for row in rows]


RunOrPath = Path | str | LoadedRun  # figures take a run directory, or a run that is loaded already


def load_run(run: RunOrPath) -> LoadedRun:
    """Return a `LoadedRun`, which reads each part of the run directory at its first use; keep one that is given."""
    return run if isinstance(run, LoadedRun) else LoadedRun(Path(run))
