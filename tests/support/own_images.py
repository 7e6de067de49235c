"""Images of one's own, by each way in which they come in: horizontal and vertical bars."""

import random
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convline.data.sources import Images

NUM_IMAGES = {"train": 120, "test": 40}


def bars(split: str) -> tuple[Tensor, Tensor]:
    """Noisy gray images, uint8 N×1×8×8, and their labels."""
    generator = torch.Generator().manual_seed(len(split))
    labels = torch.arange(NUM_IMAGES[split]) % 2
    images = torch.randint(120, (len(labels), 1, 8, 8), generator=generator, dtype=torch.uint8)
    images[labels == 0, :, 4] += 60
    images[labels == 1, :, :, 4] += 60
    return images, labels


def function_of_the_split(split: str) -> Images:
    return Images(*bars(split), ("horizontal", "vertical"))


class BarsDataset(Dataset):
    """Like those of torchvision."""

    classes = ("horizontal", "vertical")

    def __init__(self, train: bool) -> None:
        self.images, self.labels = bars("train" if train else "test")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


class _Transformed(Dataset):
    """Normalized images, with random numbers of all three generators added if there is noise."""

    def __init__(self, images: Tensor, labels: Tensor, noise: float = 0.0) -> None:
        self.images, self.labels, self.noise = images.float() / 100 - 1, labels, noise

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        shift = self.noise * (torch.randn(()) + np.random.rand() + random.random())
        return self.images[index] + shift, self.labels[index]


class BarsModule(pl.LightningDataModule):
    """A module with a random transform; `form` spoils what it gives."""

    def __init__(self, batch_size: int = 16, num_workers: int = 0, generator: bool = False, form: str = "") -> None:
        super().__init__()
        self.batch_size, self.num_workers, self.form = batch_size, num_workers, form
        self.generator = torch.Generator().manual_seed(5) if generator else None

    def setup(self, stage: str) -> None:
        (images, labels), test = bars("train"), bars("test")
        if self.form == "multilabel":
            labels, test = torch.stack([labels == 0, labels == 1], 1).float(), (test[0], torch.ones(len(test[1]), 2))
        if self.form == "more classes":
            test = (test[0], test[1] + 1)
        self.sets = (
            _Transformed(images[:96], labels[:96], 0.1),
            _Transformed(images[96:], labels[96:]),
            _Transformed(*test),
        )

    def train_dataloader(self) -> object:
        workers = {"num_workers": self.num_workers, "persistent_workers": self.num_workers > 0}
        loader = DataLoader(self.sets[0], self.batch_size, shuffle=True, generator=self.generator, **workers)  # type: ignore[arg-type]
        if self.form == "list":
            return [loader]
        return (batch for batch in loader) if self.form == "no length" else loader

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.sets[1], 12)

    def test_dataloader(self) -> DataLoader:
        if self.form == "no test":
            raise ValueError("there is none")
        return DataLoader(self.sets[2], 12)


def write_folder(root: Path) -> None:
    """The layout `imagefolder` of Hugging Face."""
    for split in NUM_IMAGES:
        (root / split).mkdir(parents=True)
        images, labels = bars(split)
        lines = ["file_name,label"]
        for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            Image.fromarray(image[0].numpy()).save(root / split / f"{index}.png")
            lines.append(f"{index}.png,{('horizontal', 'vertical')[label]}")
        (root / split / "metadata.csv").write_text("\n".join(lines) + "\n")
