"""The resident loader against indexing a tensor and doing the same arithmetic by hand."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.augmented_path import SHAPE, images
from benchmarks.data_path import BATCH_SIZE, epoch, resident
from benchmarks.measure import Comparison, Way, compare
from convline.data.preprocess import Preprocessor, channel_statistics


def compare_plain(target: float, num_rounds: int, num_images: int = 50_000) -> Comparison:
    """Measure one shuffled epoch over CIFAR-10's training images, normalized.

    Args:
        target: largest ratio wanted.
        num_rounds: how often each is measured.
        num_images: of the synthetic ones, where the real ones are not there.
    """
    said, data = images(num_images)
    mean, std = channel_statistics(data.images, torch.arange(len(data)))
    preprocessor = Preprocessor(mean, std, SHAPE, torch.device("cpu"))
    rows = data.images.permute(0, 2, 3, 1).flatten(1)  # the same memory, a row for each image
    scale, shift = ((values.float().repeat(32 * 32)) for values in (1 / (255 * std), -mean / std))

    def by_hand() -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(data)).split(BATCH_SIZE):
            batch = rows.index_select(0, index).to(torch.float32).mul_(scale).add_(shift)
            yield batch.view(-1, 32, 32, 3).permute(0, 3, 1, 2), data.labels.index_select(0, index)

    name = f"data path, normalize only, batch {BATCH_SIZE}"
    ours = resident(data.images, data.labels, preprocessor)
    other = Way("a tensor indexed by hand, and the same arithmetic", lambda: epoch(by_hand()))
    measured = compare(name, ours, other, "cpu", "at most", target, num_rounds)
    return measured.noted(data=said, images=len(data), threads=torch.get_num_threads())
