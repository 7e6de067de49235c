"""Each source gives the published images, or says which file is wrong and what to do."""

import hashlib
import pickle
import struct
import urllib.request
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10, MNIST

from convline.data.sources import Images, Part, cifar10, digits, mnist, synthetic
from convline.errors import UserError

PARTS: tuple[Part, ...] = ("train", "test")
CIFAR_FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]


# --- digits ---------------------------------------------------------------------------------------------------------


def as_pairs(pixels: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((image.astype(np.uint8).tobytes(), int(label)) for image, label in zip(pixels, labels, strict=True))


def test_digits_test_on_every_fifth_image_of_each_class() -> None:
    train, test = digits("train"), digits("test")
    # of the 178, 182, 177, 183, 181, 182, 181, 179, 174, 180 images a class, whole fives
    assert torch.bincount(test.labels).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    assert (len(train), len(test)) == (1442, 355)
    assert train.images.shape == (1442, 1, 8, 8)
    assert (train.images.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert train.classes == tuple("0123456789")


def test_digits_train_and_test_are_together_exactly_scikit_learns() -> None:
    published = load_digits()
    # levels 0…16 spread over 0…255: 255 / 16 = 15.9375 a level, so that 8 becomes 127.5 and, rounded to even, 128
    levels = np.array([0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255])
    expected = as_pairs(levels[published.images.astype(int)], published.target)
    parts = [digits(part) for part in PARTS]
    given = [pair for part in parts for pair in as_pairs(part.images.squeeze(1).numpy(), part.labels.numpy())]
    assert sorted(given) == expected


def test_digits_keep_the_published_order_within_a_part() -> None:
    targets, seen, test_labels = load_digits().target, [0] * 10, []
    for label in targets:
        seen[label] += 1
        if seen[label] % 5 == 0:
            test_labels.append(label)
    assert digits("test").labels.tolist() == test_labels


# --- synthetic ------------------------------------------------------------------------------------------------------


def make_synthetic(part: Part, seed: int = 3, noise: float = 0.1, num_train: int = 50) -> Images:
    return synthetic(part, num_train=num_train, num_test=20, shape=(2, 4, 3), num_classes=4, noise=noise, seed=seed)


def test_synthetic_is_a_function_of_its_arguments_whatever_the_global_seed() -> None:
    torch.manual_seed(1)
    first = make_synthetic("train")
    torch.manual_seed(2)
    again = make_synthetic("train")
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert first.fingerprint() == again.fingerprint()


def test_synthetic_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    make_synthetic("train")
    assert torch.equal(before, torch.get_rng_state())


def test_synthetic_seeds_and_parts_differ() -> None:
    prints = {make_synthetic(part, seed, num_train=20).fingerprint() for part in PARTS for seed in (3, 4)}
    assert len(prints) == 4


def test_synthetic_has_the_shape_and_classes_in_turn() -> None:
    train, test = make_synthetic("train"), make_synthetic("test")
    assert train.images.shape == (50, 2, 4, 3)
    assert test.images.shape == (20, 2, 4, 3)
    assert train.labels.tolist() == [i % 4 for i in range(50)]
    assert train.classes == ("class 0", "class 1", "class 2", "class 3")


def test_synthetic_without_noise_repeats_one_pattern_a_class_in_both_parts() -> None:
    train, test = make_synthetic("train", noise=0.0), make_synthetic("test", noise=0.0)
    for label in range(4):
        pattern = train.images[label]
        assert (train.images[train.labels == label] == pattern).all()
        assert (test.images[test.labels == label] == pattern).all()
    assert not torch.equal(train.images[0], train.images[1])


def test_synthetic_noise_has_the_stated_deviation() -> None:
    clean, noisy = (make_synthetic("train", noise=noise, num_train=5000) for noise in (0.0, 0.02))
    inner = (clean.images > 40) & (clean.images < 215)  # eight deviations away from being cut at 0 or 255
    difference = (noisy.images.double() - clean.images.double())[inner]
    # 0.02 × 255 = 5.1, and rounding adds the variance 1/12 once for each of the two images' roundings at most
    assert difference.std().item() == pytest.approx(5.1, rel=0.02)
    assert abs(difference.mean().item()) < 0.5


def test_fingerprint_sees_one_pixel_one_label_the_shape_and_the_classes() -> None:
    images, labels = torch.zeros(4, 1, 2, 3, dtype=torch.uint8), torch.tensor([0, 1, 0, 1])
    plain = Images(images, labels, ("a", "b"))
    pixel, label = images.clone(), labels.clone()
    pixel[3, 0, 1, 2], label[3] = 1, 0
    others = [
        Images(pixel, labels, ("a", "b")),
        Images(images, label, ("a", "b")),
        Images(images.view(4, 1, 3, 2), labels, ("a", "b")),
        Images(images, labels, ("a", "c")),
    ]
    assert len({plain.fingerprint(), *(other.fingerprint() for other in others)}) == 5


# --- MNIST files ----------------------------------------------------------------------------------------------------


def idx(shape: tuple[int, ...], magic: bytes = b"\0\0\x08", values: bytes | None = None) -> bytes:
    """An IDX file of unsigned bytes: zeros, or `values`."""
    content = bytes(int(np.prod(shape))) if values is None else values
    return magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


IMAGES_FILE = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
LABELS_FILE = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}
COUNT = {"train": 60_000, "test": 10_000}


def write_mnist(
    root: Path, part: Literal["train", "test"], images: bytes | None = None, labels: bytes | None = None
) -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / IMAGES_FILE[part]).write_bytes(idx((COUNT[part], 28, 28)) if images is None else images)
    (folder / LABELS_FILE[part]).write_bytes(idx((COUNT[part],)) if labels is None else labels)
    return folder


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails at once, as on a machine without one."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.mark.parametrize("part", PARTS)
def test_mnist_reads_pixels_row_by_row_and_labels_of_the_right_part(part: Part, tmp_path: Path) -> None:
    pixels, labels = bytearray(COUNT[part] * 784), bytearray(COUNT[part])
    pixels[784 * 7 + 28 * 2 + 5] = 200  # image 7, row 2, column 5
    labels[7] = 9
    write_mnist(
        tmp_path, part, idx((COUNT[part], 28, 28), values=bytes(pixels)), idx((COUNT[part],), values=bytes(labels))
    )
    read = mnist(tmp_path, part)
    assert read.images.shape == (COUNT[part], 1, 28, 28)
    assert (read.images.dtype, read.labels.dtype) == (torch.uint8, torch.int64)
    assert read.images.nonzero().tolist() == [[7, 0, 2, 5]]
    assert read.images[7, 0, 2, 5] == 200
    assert read.labels.nonzero().tolist() == [[7]]
    assert read.labels[7] == 9
    assert read.classes == tuple("0123456789")


def test_mnist_takes_neither_parts_files_for_the_others(tmp_path: Path) -> None:
    write_mnist(tmp_path, "train", labels=idx((60_000,), values=b"\1" * 60_000))
    write_mnist(tmp_path, "test", labels=idx((10_000,), values=b"\2" * 10_000))
    assert (mnist(tmp_path, "train").labels == 1).all()
    assert (mnist(tmp_path, "test").labels == 2).all()


DAMAGED_IMAGES = {
    "empty": (b"", "does not begin as an IDX file"),
    "cut in the header": (idx((60_000, 28, 28))[:10], "does not begin as an IDX file"),
    "truncated": (idx((60_000, 28, 28))[:-1], "should hold 47,040,000 values, but holds 47,039,999"),
    "overlong": (idx((60_000, 28, 28)) + b"\0", "should hold 47,040,000 values, but holds 47,040,001"),
    "corrupted magic": (idx((60_000, 28, 28), magic=b"\0\1\x08"), "does not begin as an IDX file"),
    "other type": (idx((60_000, 28, 28), magic=b"\0\0\x0d"), "does not begin as an IDX file"),
    "still compressed": (b"\x1f\x8b\x08\x00" + bytes(100), "does not begin as an IDX file"),
    "labels instead": (idx((60_000,)), "does not begin as an IDX file"),
    "other height": (idx((60_000, 32, 28)), "60000×32×28 values, but MNIST has 60000×28×28"),
    "test images": (idx((10_000, 28, 28)), "10000×28×28 values, but MNIST has 60000×28×28"),
    "gigantic by its header": (idx((2**32 - 1,) * 3, values=b""), "but MNIST has 60000×28×28"),
}


@pytest.mark.parametrize("case", DAMAGED_IMAGES)
def test_mnist_names_a_damaged_image_file_and_what_to_do(case: str, tmp_path: Path) -> None:
    content, why = DAMAGED_IMAGES[case]
    folder = write_mnist(tmp_path, "train", images=content)
    with pytest.raises(UserError) as caught:
        mnist(tmp_path, "train")
    text = str(caught.value)
    assert str(folder / "train-images-idx3-ubyte") in text
    assert why in text
    assert "data.root=" in text


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (idx((10_000,))[:-100], "should hold 10,000 values, but holds 9,900"),
        (idx((9_999,)), "9999 values, but MNIST has 10000"),
        (idx((10_000,), values=b"\0" * 9_999 + b"\x0a"), "label 10, but labels are 0 to 9"),
    ],
)
def test_mnist_names_a_damaged_label_file_and_what_to_do(labels: bytes, why: str, tmp_path: Path) -> None:
    folder = write_mnist(tmp_path, "test", labels=labels)
    with pytest.raises(UserError) as caught:
        mnist(tmp_path, "test")
    text = str(caught.value)
    assert str(folder / "t10k-labels-idx1-ubyte") in text
    assert why in text
    assert "data.root=" in text


@pytest.mark.parametrize("files", ["none", "no labels"])
def test_mnist_missing_without_a_network_is_explained(files: str, tmp_path: Path) -> None:
    if files == "no labels":
        (write_mnist(tmp_path, "test") / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError) as caught:
        mnist(tmp_path, "test")
    text = str(caught.value)
    what = "t10k-labels-idx1-ubyte" if files == "no labels" else "MNIST"
    assert f"no {what} in {tmp_path / 'MNIST' / 'raw'}" in text
    assert all(word in text for word in ("data.root=", "CONVLINE_DATA", "data=digits"))


@pytest.mark.parametrize(
    "error",
    [OSError("disk full"), URLError("unreachable"), RuntimeError("Error downloading x.gz:\ndisk full"), TimeoutError()],
    ids=["OSError", "URLError", "RuntimeError of two lines", "TimeoutError without a text"],
)
@pytest.mark.parametrize(("name", "source"), [("MNIST", mnist), ("CIFAR10", cifar10)])
def test_every_failure_to_download_is_explained_on_three_lines(
    name: str, source: Any, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any) -> None:
        raise error

    monkeypatch.setattr(getattr(torchvision.datasets, name), "download", fail)
    with pytest.raises(UserError, match="could not be downloaded") as caught:
        source(tmp_path, "train")
    assert "Error downloading" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 3


def test_a_root_that_is_a_file_is_explained(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("")
    with pytest.raises(UserError, match=r"data\.root="):
        mnist(root, "train")


# --- CIFAR-10 files -------------------------------------------------------------------------------------------------


def write_cifar(root: Path, contents: dict[str, bytes]) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def small_cifar() -> dict[str, bytes]:
    """Two images a file. Image j of file i: red 10i + j, green 100 + i (7 in row 1, column 2), blue 200."""
    contents = {}
    for i, name in enumerate(CIFAR_FILES[:6]):
        planes = np.empty((2, 3, 32, 32), dtype=np.uint8)
        planes[:, 0] = np.array([10 * i, 10 * i + 1])[:, None, None]
        planes[:, 1], planes[:, 2], planes[:, 1, 1, 2] = 100 + i, 200, 7
        contents[name] = pickle.dumps({"data": planes.reshape(2, 3072), "labels": [i, 9 - i]})
    contents["batches.meta"] = pickle.dumps({"label_names": [f"name {i}" for i in range(10)]})
    return contents


def publish(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these files be the ones whose MD5 sums torchvision knows."""
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in CIFAR_FILES[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, sums[name]] for name in CIFAR_FILES[5:6]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})


def test_cifar10_reads_five_batches_in_order_with_colour_planes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = small_cifar()
    publish(contents, monkeypatch)
    write_cifar(tmp_path, contents)
    train, test = cifar10(tmp_path, "train"), cifar10(tmp_path, "test")
    assert train.images.shape == (10, 3, 32, 32)
    assert train.images[:, 0, 5, 5].tolist() == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41]
    assert train.images[:, 1, 5, 5].tolist() == [100, 100, 101, 101, 102, 102, 103, 103, 104, 104]
    assert (train.images[:, 1] == 7).nonzero().tolist() == [[n, 1, 2] for n in range(10)]
    assert (train.images[:, 2] == 200).all()
    assert train.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert test.images[:, 0, 5, 5].tolist() == [50, 51]
    assert test.labels.tolist() == [5, 4]
    assert train.classes == tuple(f"name {i}" for i in range(10))


class Bomb:
    """A pickle of it writes a file when it is opened."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", CIFAR_FILES)
def test_cifar10_never_opens_a_file_whose_sum_is_wrong(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = small_cifar()
    publish(contents, monkeypatch)
    target = tmp_path / "executed"
    folder = write_cifar(tmp_path, contents | {name: pickle.dumps(Bomb(target))})
    pickle.loads((folder / name).read_bytes())
    assert target.exists()  # the bomb works
    target.unlink()
    with pytest.raises(UserError) as caught:
        cifar10(tmp_path, "test" if name == "test_batch" else "train")
    assert str(folder / name) in str(caught.value)
    assert "MD5" in str(caught.value)
    assert "data.root=" in str(caught.value)
    assert not target.exists()


def test_cifar10_notices_one_flipped_bit_and_a_truncated_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = small_cifar()
    publish(contents, monkeypatch)
    flipped = bytearray(contents["data_batch_4"])
    flipped[1000] ^= 1
    folder = write_cifar(tmp_path, contents | {"data_batch_4": bytes(flipped)})
    with pytest.raises(UserError, match="data_batch_4 is damaged"):
        cifar10(tmp_path, "train")
    (folder / "data_batch_4").write_bytes(contents["data_batch_4"][:-1])
    with pytest.raises(UserError, match="data_batch_4 is damaged"):
        cifar10(tmp_path, "train")


@pytest.mark.parametrize("name", CIFAR_FILES)
def test_cifar10_names_the_one_file_that_is_missing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = small_cifar()
    publish(contents, monkeypatch)
    del contents[name]
    folder = write_cifar(tmp_path, contents)
    with pytest.raises(UserError) as caught:
        cifar10(tmp_path, "train")
    assert str(folder / name) in str(caught.value)
    assert "missing" in str(caught.value)
    assert "data.root=" in str(caught.value)


def test_cifar10_missing_without_a_network_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        cifar10(tmp_path, "train")
    text = str(caught.value)
    assert f"no CIFAR-10 in {tmp_path / 'cifar-10-batches-py'}" in text
    assert all(word in text for word in ("data.root=", "CONVLINE_DATA", "data=digits"))


# --- real data ------------------------------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize("part", PARTS)
def test_mnist_equals_torchvisions(part: Part, data_root: Path) -> None:
    ours, theirs = mnist(data_root, part), MNIST(str(data_root), train=part == "train")
    assert torch.equal(ours.images.squeeze(1), theirs.data)
    assert torch.equal(ours.labels, theirs.targets)


@pytest.mark.realdata
@pytest.mark.parametrize("part", PARTS)
def test_cifar10_equals_torchvisions(part: Part, data_root: Path) -> None:
    ours, theirs = cifar10(data_root, part), CIFAR10(str(data_root), train=part == "train")
    assert np.array_equal(ours.images.permute(0, 2, 3, 1).numpy(), theirs.data)
    assert ours.labels.tolist() == theirs.targets
    assert list(ours.classes) == theirs.classes
