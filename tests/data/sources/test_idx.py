"""MNIST and its like: upright images, labels from 0, and every damaged file named."""

from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets

from convline.config import load_config
from convline.data.sources import Images, SplitName, emnist, fashion_mnist, idx, kmnist, mnist
from convline.errors import UserError
from support.data_files import idx as idx_file
from support.data_files import idx_of, write_files

pytestmark = pytest.mark.usefixtures("no_download")
SPLITS: tuple[SplitName, ...] = ("train", "test")

# name in COUNTS, source, number of classes, label of the first class, torchvision's reader
SETS: dict[str, tuple[Any, int, int, Any]] = {
    "MNIST": (mnist, 10, 0, torchvision.datasets.MNIST),
    "FashionMNIST": (fashion_mnist, 10, 0, torchvision.datasets.FashionMNIST),
    "KMNIST": (kmnist, 10, 0, torchvision.datasets.KMNIST),
    "EMNIST letters": (partial(emnist, split="letters"), 26, 1, partial(torchvision.datasets.EMNIST, split="letters")),
    "EMNIST balanced": (
        partial(emnist, split="balanced"),
        47,
        0,
        partial(torchvision.datasets.EMNIST, split="balanced"),
    ),
}


@pytest.fixture(params=SETS)
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set, whose published counts are small here: two images a class, and one."""
    num_classes = SETS[request.param][1]
    monkeypatch.setitem(idx.COUNTS, request.param, (2 * num_classes, num_classes))
    return request.param


def files(name: str, split_name: SplitName) -> tuple[str, str]:
    prefix = f"emnist-{name.split()[1]}-{split_name}" if " " in name else {"train": "train", "test": "t10k"}[split_name]
    return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"


def small(name: str, split_name: SplitName) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels, and the classes in turn."""
    _, num_classes, first, _ = SETS[name]
    count = num_classes * (2 if split_name == "train" else 1)
    pixels = np.random.default_rng(len(split_name)).integers(0, 256, (count, 28, 28))
    return pixels, np.arange(count) % num_classes + first


def write(
    root: Path, name: str, split_name: SplitName, images: bytes | None = None, labels: bytes | None = None
) -> Path:
    pixels, numbers = small(name, split_name)
    contents = (idx_of(pixels) if images is None else images, idx_of(numbers) if labels is None else labels)
    folder = root / name.split()[0] / "raw"
    return write_files(folder, dict(zip(files(name, split_name), contents, strict=True)))


@pytest.mark.parametrize("split_name", SPLITS)
def test_images_and_labels_are_those_that_torchvision_reads(name: str, split_name: SplitName, tmp_path: Path) -> None:
    source, num_classes, first, torchvisions = SETS[name]
    for written in SPLITS:  # EMNIST's reader wants both
        write(tmp_path, name, written)
    ours: Images = source(tmp_path, split_name)
    theirs = torchvisions(str(tmp_path), train=split_name == "train")
    upright = theirs.data.transpose(1, 2) if name.startswith("EMNIST") else theirs.data
    assert torch.equal(ours.images, upright.unsqueeze(1))
    assert torch.equal(ours.labels, theirs.targets - first)
    assert (ours.images.dtype, ours.labels.dtype) == (torch.uint8, torch.int64)
    assert ours.images.is_contiguous(memory_format=torch.channels_last)
    assert len(ours.classes) == num_classes


def test_emnist_is_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the files have the images column by column: what is in row 2, column 20 of the image is stored in row 20, column 2
    monkeypatch.setitem(idx.COUNTS, "EMNIST letters", (26, 26))
    stored = np.zeros((26, 28, 28))
    stored[7, 20, 2] = 200
    write(tmp_path, "EMNIST letters", "test", images=idx_of(stored))
    assert emnist(tmp_path, "test", "letters").images.nonzero().tolist() == [[7, 0, 2, 20]]


def test_classes_have_the_published_names(tmp_path: Path) -> None:
    """EMNIST: by emnist-balanced-mapping.txt and emnist-letters-mapping.txt in its archive."""
    classes = {}
    for name, (source, num_classes, _, _) in SETS.items():
        with pytest.MonkeyPatch.context() as patched:
            patched.setitem(idx.COUNTS, name, (2 * num_classes, num_classes))
            write(tmp_path, name, "test")
            classes[name] = source(tmp_path, "test").classes
    assert classes["MNIST"] == tuple("0123456789")
    assert classes["FashionMNIST"][::9] == ("T-shirt/top", "Ankle boot")
    assert classes["KMNIST"] == ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    assert classes["EMNIST letters"] == tuple("abcdefghijklmnopqrstuvwxyz")
    assert classes["EMNIST balanced"] == tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")


def test_only_clothes_may_be_mirrored(name: str, tmp_path: Path) -> None:
    write(tmp_path, name, "test")
    assert SETS[name][0](tmp_path, "test").flip_invariant == (name == "FashionMNIST")


def test_counts_are_the_published_ones() -> None:
    # https://www.nist.gov/itl/products-and-services/emnist-dataset: 145,600 letters, 131,600 balanced
    assert sum(idx.COUNTS["EMNIST letters"]) == 145_600 == 26 * (4_800 + 800)
    assert sum(idx.COUNTS["EMNIST balanced"]) == 131_600 == 47 * (2_400 + 400)
    assert {idx.COUNTS[name] for name in ("MNIST", "FashionMNIST", "KMNIST")} == {(60_000, 10_000)}


def test_configs_say_the_counts_and_classes() -> None:
    for option, name in (
        ("mnist", "MNIST"),
        ("fashion_mnist", "FashionMNIST"),
        ("kmnist", "KMNIST"),
        ("emnist_letters", "EMNIST letters"),
        ("emnist_balanced", "EMNIST balanced"),
    ):
        cfg = load_config([f"data={option}"])
        assert cfg.data.num_classes == SETS[name][1]
        assert list(cfg.data.input_shape) == [1, 28, 28]


def test_neither_parts_files_are_taken_for_the_others(name: str, tmp_path: Path) -> None:
    for split_name in SPLITS:
        write(tmp_path, name, split_name, images=idx_of(np.full_like(small(name, split_name)[0], len(split_name))))
    for split_name in SPLITS:
        assert (SETS[name][0](tmp_path, split_name).images == len(split_name)).all()


DAMAGED_IMAGES = {
    "empty": (b"", "does not begin as an IDX file"),
    "cut in the header": (idx_file((20, 28, 28))[:10], "does not begin as an IDX file"),
    "truncated": (idx_file((20, 28, 28))[:-1], "should hold 15,680 values, but holds 15,679"),
    "overlong": (idx_file((20, 28, 28)) + b"\0", "should hold 15,680 values, but holds 15,681"),
    "corrupted magic": (idx_file((20, 28, 28), magic=b"\0\1\x08"), "does not begin as an IDX file"),
    "other type": (idx_file((20, 28, 28), magic=b"\0\0\x0d"), "does not begin as an IDX file"),
    "still compressed": (b"\x1f\x8b\x08\x00" + bytes(100), "does not begin as an IDX file"),
    "labels instead": (idx_file((20,)), "does not begin as an IDX file"),
    "other height": (idx_file((20, 32, 28)), "20×32×28 values, but KMNIST has 20×28×28"),
    "test images": (idx_file((10, 28, 28)), "10×28×28 values, but KMNIST has 20×28×28"),
    "gigantic by its header": (idx_file((2**32 - 1,) * 3, values=b""), "but KMNIST has 20×28×28"),
}


@pytest.mark.parametrize("name", ["KMNIST"], indirect=True)
@pytest.mark.parametrize("case", DAMAGED_IMAGES)
def test_a_damaged_image_file_is_named_with_what_to_do(case: str, name: str, tmp_path: Path) -> None:
    content, why = DAMAGED_IMAGES[case]
    folder = write(tmp_path, name, "train", images=content)
    with pytest.raises(UserError) as caught:
        kmnist(tmp_path, "train")
    text = str(caught.value)
    assert str(folder / "train-images-idx3-ubyte") in text
    assert why in text
    assert "data.root=" in text


def altered(labels: np.ndarray, number: int) -> bytes:
    return idx_of(np.where(np.arange(len(labels)) == 3, number, labels))


def test_a_damaged_label_file_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    source, num_classes, first, _ = SETS[name]
    labels = small(name, "test")[1]
    last = first + num_classes - 1
    cases = {
        f"should hold {num_classes:,} values, but holds {num_classes - 2}": idx_of(labels)[:-2],
        f"{num_classes - 1} values, but {name} has {num_classes}": idx_of(labels[1:]),
        f"label {last + 1}, but labels are {first} to {last}": altered(labels, last + 1),
    }
    if first:
        cases[f"label {first - 1}, but labels are {first} to {last}"] = altered(labels, first - 1)
    if name != "MNIST":  # its classes are of different sizes
        cases["it has 2 of class"] = altered(labels, first)
    for why, content in cases.items():
        folder = write(tmp_path, name, "test", labels=content)
        with pytest.raises(UserError) as caught:
            source(tmp_path, "test")
        text = str(caught.value)
        assert str(folder / files(name, "test")[1]) in text
        assert why in text
        assert "data.root=" in text


@pytest.mark.parametrize("missing", ["all", "labels"])
def test_missing_files_without_a_network_are_explained(missing: str, name: str, tmp_path: Path) -> None:
    what = name
    if missing == "labels":
        what = files(name, "test")[1]
        (write(tmp_path, name, "test") / what).unlink()
    with pytest.raises(UserError) as caught:
        SETS[name][0](tmp_path, "test")
    text = str(caught.value)
    assert f"no {what} in {tmp_path / name.split()[0] / 'raw'}" in text
    assert all(word in text for word in ("data.root=", "CONVLINE_DATA", "data=digits"))


@pytest.mark.parametrize(
    "error",
    [OSError("disk full"), URLError("unreachable"), RuntimeError("Error downloading x.gz:\ndisk full"), TimeoutError()],
    ids=["OSError", "URLError", "RuntimeError of two lines", "TimeoutError without a text"],
)
def test_every_failure_to_download_is_explained_on_three_lines(
    name: str, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any) -> None:
        raise error

    monkeypatch.setattr(getattr(torchvision.datasets, name.split()[0]), "download", fail)
    with pytest.raises(UserError, match="could not be downloaded") as caught:
        SETS[name][0](tmp_path, "train")
    assert "Error downloading" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


def test_what_torchvision_downloads_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: Any) -> None:
        for split_name in SPLITS:
            write(tmp_path, name, split_name)

    monkeypatch.setattr(getattr(torchvision.datasets, name.split()[0]), "download", download)
    assert len(SETS[name][0](tmp_path, "train")) == 2 * SETS[name][1]


def test_a_root_that_is_a_file_is_explained(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("")
    with pytest.raises(UserError, match=r"data\.root="):
        mnist(root, "train")


@pytest.mark.realdata
@pytest.mark.parametrize("split_name", SPLITS)
def test_mnist_equals_torchvisions(split_name: SplitName, data_root: Path) -> None:
    ours, theirs = mnist(data_root, split_name), torchvision.datasets.MNIST(str(data_root), train=split_name == "train")
    assert torch.equal(ours.images.squeeze(1), theirs.data)
    assert torch.equal(ours.labels, theirs.targets)
