"""Our resident loader against torchvision's usual way: a DataLoader over PIL images, transformed one by one.

By the clock on the wall, since the DataLoader's workers are processes of their own and may well use the other cores. It
gets all of them, ours one thread; and of several numbers of workers the fastest is compared.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

from benchmarks import mnist
from benchmarks.measure import Comparison, Sample, Stopwatch, Way, compare
from convline.data.loader import LoaderConfig, ResidentLoader
from convline.data.preprocess import Preprocessor, channel_statistics
from convline.data.sources import synthetic

BATCH_SIZE = 128
NUM_WORKERS = (0, 1, 2)


def compare_data(
    target: float, num_rounds: int, num_images: int = mnist.NUM_TRAIN, real: Path | None = None
) -> Comparison:
    """Measure one shuffled epoch over MNIST's training images, ready for a network.

    Args:
        target: how many times as fast ours is to be.
        num_rounds: how often each is measured.
        num_images: of the synthetic ones, where the real ones are not there.
        real: folder of the real ones; synthetic ones if None.
    """
    with tempfile.TemporaryDirectory() as folder:
        if real is None:
            made = synthetic("train", num_images, 0, mnist.SHAPE, 10, noise=0.25, seed=0)
            mnist.write_idx(Path(folder), made.images.squeeze(1), made.labels)
        theirs = datasets.MNIST(str(real or folder), train=True)
        images, labels = theirs.data.unsqueeze(1), theirs.targets
        mean, std = channel_statistics(images, torch.arange(len(images)))
        preprocessor = Preprocessor(mean, std, mnist.SHAPE, torch.device("cpu"))
        normalize = transforms.Normalize(mean.tolist(), std.tolist())
        theirs.transform = transforms.Compose([transforms.ToTensor(), normalize])
        apart = max(
            float((theirs[i][0] - preprocessor.normalize(images[i : i + 1])[0]).abs().max())
            for i in range(0, len(images), 97)
        )
        assert apart < 1e-5, "the two ways make different images"
        ours = resident(images, labels, preprocessor)
        said = "MNIST" if real else "synthetic images of MNIST's shape"
        measured = against_workers(f"data path, batch {BATCH_SIZE}", ours, theirs, target, num_rounds)
    return measured.noted(data=said, images=len(images), largest_pixel_difference=apart)


def against_workers(
    name: str, ours: Way, theirs: Dataset[tuple[Tensor, int]], target: float, num_rounds: int
) -> Comparison:
    """Measure one shuffled epoch of ours against a DataLoader's with the fastest number of workers.

    Args:
        name: of the comparison.
        ours: see `resident`.
        theirs: images one by one, ready for a network.
        target: how many times as fast ours is to be.
        num_rounds: how often each is measured.
    """
    loaders = {n: DataLoader(theirs, BATCH_SIZE, shuffle=True, num_workers=n) for n in NUM_WORKERS}
    seconds = {n: epoch(loader).wall for n, loader in loaders.items()}
    best = min(seconds, key=lambda n: seconds[n])
    other = Way(f"torchvision, PIL, DataLoader, {best} workers", lambda: epoch(loaders[best]))
    measured = compare(name, ours, other, "wall", "at least", target, num_rounds)
    return measured.noted(threads=torch.get_num_threads(), seconds_by_workers=seconds)


def resident(images: Tensor, labels: Tensor, preprocessor: Preprocessor) -> Way:
    """One shuffled epoch of ours.

    Args:
        images: N×C×H×W, uint8.
        labels: N.
        preprocessor: what is done to a batch.
    """
    config = LoaderConfig(BATCH_SIZE, order_seed=0, steps_per_execution=16)
    loader = ResidentLoader(images, labels, torch.arange(len(images)), preprocessor, config)
    return Way("resident loader", lambda: epoch(batch for execution in loader for batch in execution))


def epoch(batches: Iterable[object]) -> Sample:
    """Measure taking all batches."""
    with Stopwatch() as watch:
        for _ in batches:
            pass
    return watch.sample
