"""Draw the pictures of docs/data.md: `python scripts/data_pictures.py`.

MNIST and CIFAR-10 must be in $CONVLINE_DATA or ./data.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from convline.data.augment.language import parse_augment
from convline.data.augment.pipeline import Pipeline
from convline.data.sources import Images, cifar10, digits, mnist, synthetic
from convline.data.split import SplitConfig
from convline.training.evaluation import average_over_views

ROOT = Path(os.environ.get("CONVLINE_DATA", "data"))
FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
OPERATIONS = (
    "flip",
    "crop(4)",
    "crop(4, zero)",
    "translate(6)",
    "rotate(20)",
    "affine(10, 0.1, 0.2, 10)",
    "cutout(12)",
    "erase(1)",
    "jitter(0.4, 0.4, 0.4, 0.1)",
    "randaugment",
    "trivialaugment",
    "mixup(1)",
    "cutmix",
)
COLUMNS = 10


def main() -> None:
    """Draw all of them."""
    FOLDER.mkdir(exist_ok=True)
    photographs = cifar10(ROOT, "train")
    save(data_sets(photographs), "data_sets.png")
    save(augmentations(photographs), "augmentations.png")
    save(epochs(photographs), "altflip.png")
    save(subsets(photographs), "subsets.png")
    save(folds(photographs), "folds.png")
    save(sizes(mnist(ROOT, "train")), "sizes.png")
    save(views(photographs), "views.png")


def save(figure: Figure, name: str) -> None:
    """Write one picture."""
    figure.savefig(FOLDER / name, dpi=100, bbox_inches="tight", facecolor="white")
    print(FOLDER / name)


def data_sets(photographs: Images) -> Figure:
    """Some training images of each data set that needs no download here."""
    sets = {
        "digits": digits("train"),
        "mnist": mnist(ROOT, "train"),
        "cifar10": photographs,
        "synthetic": synthetic("train", 2000, 500, (1, 16, 16), 10, 0.25, 0),
    }
    rows = {}
    for name, data in sets.items():
        firsts = [int((data.labels == label).nonzero()[0]) for label in range(10)]
        rows[f"data={name}"] = (data.images[firsts], [data.classes[label] for label in range(10)])
    return grid(
        {name: images for name, (images, _) in rows.items()}, {name: under for name, (_, under) in rows.items()}
    )


def augmentations(photographs: Images) -> Figure:
    """Each operation on one image, with as many draws as there are columns."""
    index = torch.arange(COLUMNS)
    rows = {}
    for text in OPERATIONS:
        # mixing needs other images in the batch; the others show one image again and again
        images = photographs.images[index + 20 if text.startswith(("mixup", "cutmix")) else torch.full((COLUMNS,), 4)]
        rows[text] = augmented(text, images, index, epoch=0)
    return grid(rows)


def epochs(photographs: Images) -> Figure:
    """Flip against alternating flip: four images in six epochs."""
    index = torch.tensor([4, 6, 26, 29])
    rows = {}
    for text in ("flip", "altflip"):
        for place, number in enumerate(index.tolist()):
            shown = [
                augmented(text, photographs.images[[number]], torch.tensor([number]), epoch)[0] for epoch in range(6)
            ]
            rows[f"{text}, image {place + 1}"] = torch.stack(shown)
    return grid(rows, {name: [f"epoch {epoch + 1}" for epoch in range(6)] for name in rows})


def augmented(text: str, images: Tensor, index: Tensor, epoch: int) -> Tensor:
    """A batch after one operation, uint8."""
    fill = images.float().mean(dim=(0, 2, 3))
    pipeline = Pipeline(parse_augment(text), (3, 32, 32), 10, fill, seed=1)
    draws = [drawn[index] for drawn in pipeline.random_parameters(epoch, 50_000)]
    changed, _ = pipeline(images, torch.arange(len(images)) % 10, draws)
    return changed.round().clamp(0, 255).to(torch.uint8)


def grid(rows: dict[str, Tensor], under: dict[str, Sequence[str]] | None = None) -> Figure:
    """Images in labelled rows, with a line under each image if `under` has it."""
    columns = max(len(images) for images in rows.values())
    figure = Figure(figsize=(0.75 * columns + 1.8, (0.75 if under is None else 0.92) * len(rows)))
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for number, axis in enumerate(line):
            axis.axis("off")
            show(axis, images[number])
            if under is not None:
                axis.set_title(under[name][number], fontsize=7, y=-0.32)
        line[0].text(-0.15, 0.5, name, transform=line[0].transAxes, ha="right", va="center", family="monospace", size=9)
    figure.subplots_adjust(wspace=0.06, hspace=0.06 if under is None else 0.35)
    return figure


def show(axis: Axes, image: Tensor) -> None:
    """One image, C×H×W."""
    if len(image) == 1:
        axis.imshow(image[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    else:
        axis.imshow(image.permute(1, 2, 0), interpolation="nearest")


def subsets(photographs: Images) -> Figure:
    """Images of each class in training and validation under several settings."""
    settings = {
        "data.val_fraction=0.1": SplitConfig(),
        "data.train_fraction=0.2": SplitConfig(train_fraction=0.2),
        "data.per_class=500": SplitConfig(per_class=500),
        "data.imbalance=100": SplitConfig(imbalance=100),
        "data.label_noise=0.2": SplitConfig(label_noise=0.2),
    }
    labels = photographs.labels
    figure = Figure(figsize=(13, 2.6))
    for axis, (name, split) in zip(figure.subplots(1, 5, sharey=True), settings.items(), strict=True):
        parts = split.apply(labels)
        wrong = parts.train_labels[parts.train] != labels[parts.train]
        train = labels[parts.train].bincount(minlength=10).numpy()
        false = labels[parts.train][wrong].bincount(minlength=10).numpy()
        places = np.arange(10)
        axis.bar(places, train - false, 0.75, color="#4477aa", label="training")
        axis.bar(places, false, 0.75, train - false, color="#cc6677", label="... with a wrong label")
        axis.bar(
            places, labels[parts.val].bincount(minlength=10).numpy(), 0.75, train, color="#ddcc77", label="validation"
        )
        axis.set_title(name, fontsize=9, family="monospace")
        axis.set_xlabel("class", fontsize=8)
        axis.set_xticks(places)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("images", fontsize=8)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="lower center", ncols=3, fontsize=8, frameon=False,
                  bbox_to_anchor=(0.5, -0.16))  # fmt: skip
    return figure


def folds(photographs: Images) -> Figure:
    """Which images validate in each of five folds, and with the tutorials' split: a hundred of them, in order."""
    splits = {f"data.fold={fold}": SplitConfig(fold=fold) for fold in range(5)}
    splits["data.val=first data.val_size=5000"] = SplitConfig(val="first", val_size=5000)
    figure = Figure(figsize=(9, 1.9))
    axis = figure.subplots()
    shown = torch.arange(0, 50_000, 500)
    table = np.stack([torch.isin(shown, split.apply(photographs.labels).val).numpy() for split in splits.values()])
    axis.pcolormesh(table[::-1], cmap="cividis", edgecolors="white", linewidth=0.5)
    axis.set_yticks(np.arange(len(splits)) + 0.5, list(splits)[::-1], family="monospace", fontsize=9)
    axis.set_xticks([])
    axis.set_xlabel("every 500th image of CIFAR-10's training files; yellow ones validate", fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


def sizes(data: Images) -> Figure:
    """One digit as stored and as networks of other input sizes see it."""
    figure = Figure(figsize=(6, 2.1))
    image = data.images[5].float().unsqueeze(0)
    for axis, size in zip(figure.subplots(1, 3), (28, 14, 64), strict=True):
        resized = torch.nn.functional.interpolate(image, (size, size), mode="bilinear", antialias=True)
        show(axis, resized[0].round().to(torch.uint8))
        axis.set_title("as stored, 28×28" if size == 28 else f"data.image_size={size}", fontsize=9, family="monospace")
        axis.axis("off")
    return figure


def views(photographs: Images) -> Figure:
    """What test-time augmentation shows the network of one image, with the weight of each view."""
    seen: list[Tensor] = []

    def network(images: Tensor) -> Tensor:
        seen.append(images[0].to(torch.uint8))
        return images.new_zeros(1, 10)

    average_over_views(network, photographs.images[4:5].float(), "flip+shift")
    # moved views come first; see `convline.training.evaluation`
    captions = ["moved, 1/8", "mirrored, 1/8", "moved, 1/8", "mirrored, 1/8", "as it is, 1/4", "mirrored, 1/4"]
    order = [4, 5, 0, 1, 2, 3]
    pictures = torch.stack([seen[place] for place in order])
    return grid({"tta=flip+shift": pictures}, {"tta=flip+shift": [captions[place] for place in order]})


if __name__ == "__main__":
    main()
