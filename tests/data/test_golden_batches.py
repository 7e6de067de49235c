"""The first batches of each data config, to the bit: what changes them changes every result that was ever published."""

import hashlib

import pytest
import torch

from convline.config import load_config
from convline.data.loader import LoaderConfig
from convline.training.setup import build

GOLDEN = {
    "digits": "b90cc9f829b7e4ff",
    "synthetic": "361ba67632a6b425",
    "mnist": "f9dd5dfa5ea590b8",
    "cifar10": "50c72c7afa5bc08e",
    "mnist data.augment=[crop(2),cutout(6)]": "d54c6e9d6ce21c64",
    "cifar10 data/augment=cifar": "2f4d81a1c9504b62",
    "cifar10 data/augment=strong data.train_fraction=0.1 data.label_noise=0.2": "1a0a65334096a8db",
}
REAL = ("mnist", "cifar10")


@pytest.mark.parametrize(
    "words", [pytest.param(words, marks=[pytest.mark.realdata] * words.startswith(REAL)) for words in GOLDEN]
)
def test_first_batches_are_what_they_always_were(words: str) -> None:
    data, _ = build(load_config([f"data={words.split()[0]}", *words.split()[1:], "model=dense", "seed=0"]))
    config = LoaderConfig(batch_size=32, order_seed=0)
    loader = data.training_loader(torch.device("cpu"), config)
    digest = hashlib.blake2b(digest_size=8)
    for _ in range(3):
        images, targets = loader.next_batch()
        digest.update(images.permute(0, 2, 3, 1).contiguous().numpy().data)
        digest.update(targets.contiguous().numpy().data)
    assert digest.hexdigest() == GOLDEN[words]
