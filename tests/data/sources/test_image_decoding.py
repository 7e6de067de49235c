"""Image files of every kind, against references that are written here."""

import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from convline.data.sources import image_decoding as module
from convline.data.sources.image_decoding import decode, decode_all, measure_depth

RNG = np.random.default_rng(0)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth random colors."""
    coarse = torch.from_numpy(RNG.uniform(0, 255, (1, channels, 5, 5)))
    smooth = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).round()
    return smooth[0].permute(1, 2, 0).numpy().astype(np.uint8)


def saved(path: Path, array: np.ndarray, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(array.squeeze())
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "webp", "gif"])
def test_lossless_formats_come_back_exactly(ending: str, tmp_path: Path) -> None:
    array = noise(8, 8)
    options = {"webp": {"lossless": True}, "gif": {}}.get(ending, {})
    if ending == "gif":
        array = np.where(array[:, :, :1] > 128, array.dtype.type(255), array.dtype.type(0)).repeat(3, axis=2)
    path = saved(tmp_path / f"x.{ending}", array, **options)
    assert np.array_equal(decode(path, (3, 8, 8), "crop"), array.transpose(2, 0, 1))


def test_gray_of_colors_is_pillows(tmp_path: Path) -> None:
    array = noise(6, 6)
    gray = decode(saved(tmp_path / "x.png", array), (1, 6, 6), "crop")
    # ITU-R 601-2: L = 0.299 R + 0.587 G + 0.114 B, in fixed point
    assert gray.shape == (1, 6, 6)
    assert np.abs(gray[0] - array @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_colors_of_gray_are_three_times_the_same(tmp_path: Path) -> None:
    array = noise(6, 6, 1)
    image = decode(saved(tmp_path / "x.png", array), (3, 6, 6), "crop")
    assert np.array_equal(image, array.transpose(2, 0, 1).repeat(3, axis=0))


@pytest.mark.parametrize("size", [(40, 72), (72, 40), (37, 37), (5, 9)])
def test_resizing_is_antialiased_bilinear(size: tuple[int, int], tmp_path: Path) -> None:
    array = noise(*size)
    path, whole = saved(tmp_path / "x.png", array), torch.from_numpy(array).permute(2, 0, 1)[None].double()
    squashed = F.interpolate(whole, (10, 10), mode="bilinear", antialias=True)[0]
    assert np.abs(decode(path, (3, 10, 10), "squash") - squashed.numpy()).max() <= 1
    height, width = (10 * side // min(size) for side in size)  # the shorter side becomes 10 pixels
    top, left = (height - 10) // 2, (width - 10) // 2
    fitted = F.interpolate(whole, (height, width), mode="bilinear", antialias=True)[0]
    cropped = fitted[:, top : top + 10, left : left + 10]
    assert np.abs(decode(path, (3, 10, 10), "crop") - cropped.numpy()).max() <= 1


def test_shape_need_not_be_square(tmp_path: Path) -> None:
    array = np.zeros((40, 40, 3), dtype=np.uint8)
    array[10:30] = 200  # the middle half, which is what a crop of 1:2 sees, but for what bleeds in at its border
    path = saved(tmp_path / "x.png", array)
    assert (decode(path, (3, 5, 10), "crop")[:, 1:-1] == 200).all()
    assert decode(path, (3, 5, 10), "squash")[0, ::4].max() < 20


def test_large_jpegs_are_decoded_smaller_but_look_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", noise(300, 500), quality=95)
    for resize, box in (("crop", (100, 0, 400, 300)), ("squash", (0, 0, 500, 300))):
        with Image.open(path) as opened:
            opened.load()  # all of it
            expected = np.asarray(opened.resize((20, 20), Image.Resampling.BILINEAR, box=box)).transpose(2, 0, 1)
        image = decode(path, (3, 20, 20), resize)  # type: ignore[arg-type]
        assert np.abs(image.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_followed(orientation: int, tmp_path: Path) -> None:
    """EXIF 2.3, tag 274: where the stored first row and first column are in the scene."""
    upright = noise(24, 24)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright[::-1].transpose(1, 0, 2)[::-1, ::-1],  # turned by 90° to the left
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright.transpose(1, 0, 2)[:, ::-1],  # to the right
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path / "x.png", np.ascontiguousarray(stored), exif=exif)
    assert np.array_equal(decode(path, (3, 24, 24), "crop"), upright.transpose(2, 0, 1))


def test_white_shines_through_where_it_is_transparent(tmp_path: Path) -> None:
    array = np.zeros((4, 4, 4), dtype=np.uint8)
    array[:, :, 0], array[:, 1, 3], array[:, 2:, 3] = 100, 128, 255  # red 100; columns clear, half, opaque
    image = decode(saved(tmp_path / "x.png", array), (3, 4, 4), "crop")
    half = 128 / 255
    assert image[:, 0, 0].tolist() == [255, 255, 255]
    assert image[:, 0, 1].tolist() == [round(100 * half + 255 * (1 - half)), *[round(255 * (1 - half))] * 2]
    assert image[:, 0, 3].tolist() == [100, 0, 0]
    assert decode(tmp_path / "x.png", (1, 4, 4), "crop")[0, 0].tolist()[0] == 255


def test_palette_with_a_transparent_color(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "x.png", transparency=1)
    assert decode(tmp_path / "x.png", (3, 2, 2), "crop")[:, 0].T.tolist() == [[10, 20, 30], [255, 255, 255]]


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path: Path) -> None:
    levels = np.array([[0, 257], [65535, 128 * 257]], dtype=np.uint16)
    for name in ("x.png", "x.tif"):
        Image.fromarray(levels).save(tmp_path / name)
        assert decode(tmp_path / name, (1, 2, 2), "crop")[0].tolist() == [[0, 1], [255, 128]]


@pytest.mark.parametrize(("largest", "depth"), [(200, 8), (1023, 10), (2149, 12), (4095, 12), (9000, 14), (31000, 16)])
def test_the_bits_that_files_of_sixteen_bits_use_are_found(largest: int, depth: int, tmp_path: Path) -> None:
    for name, level in (("x.png", largest), ("y.tif", 3)):
        Image.fromarray(np.full((2, 2), level, dtype=np.uint16)).save(tmp_path / name)
    saved(tmp_path / "rgb.png", np.full((2, 2, 3), 255, dtype=np.uint8))
    (tmp_path / "broken.png").write_bytes(b"x")
    paths = sorted(tmp_path.iterdir())
    assert measure_depth(paths) == depth
    assert measure_depth([tmp_path / "rgb.png"]) is None
    image = decode(tmp_path / "x.png", (1, 2, 2), "crop", depth)
    assert image[0, 0, 0] == round(largest * 255 / (2**depth - 1))


@pytest.mark.parametrize("mode", ["1", "CMYK", "LA", "P"])
def test_other_modes_are_read(mode: str, tmp_path: Path) -> None:
    array = np.where(noise(8, 8, 1) > 128, 255, 0).astype(np.uint8).repeat(3, axis=2)
    path = saved(tmp_path / ("x.tif" if mode == "CMYK" else "x.png"), array, mode)
    assert np.abs(decode(path, (3, 8, 8), "crop").astype(int) - array.transpose(2, 0, 1)).max() <= 1


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((4, 4), level, dtype=np.uint8)) for level in (0, 255, 0)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert (decode(tmp_path / "x.gif", (1, 4, 4), "crop") == 0).all()


def broken_files(folder: Path) -> dict[Path, str]:
    """Files that cannot be decoded, and what is said of them."""
    whole = saved(folder / "whole.png", RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).read_bytes()
    photo = saved(folder / "whole.jpg", RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(folder / "float.tif")
    contents = {
        "cut.png": (whole[:-1000], "truncated"),
        "cut.jpg": (photo[: len(photo) // 2], "truncated"),
        "flipped.png": (bytes(flipped), "broken"),
        "empty.png": (b"", "no image in a format"),
        "text.jpg": (b"<!DOCTYPE html>", "no image in a format"),
        "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "no image in a format"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    (folder / "link.png").symlink_to(folder / "nowhere.png")
    said = {folder / name: why for name, (_, why) in contents.items()}
    return {**said, folder / "link.png": "No such file", folder / "float.tif": "32-bit numbers"}


def test_broken_files_are_told_from_whole_ones_in_order(tmp_path: Path) -> None:
    broken = broken_files(tmp_path)
    paths = [tmp_path / "whole.png", *broken, tmp_path / "whole.jpg"]
    results = list(decode_all(paths, (3, 8, 8), "crop"))
    assert isinstance(results[0], np.ndarray)
    assert isinstance(results[-1], np.ndarray)
    for (path, why), result in zip(broken.items(), results[1:-1], strict=True):
        assert isinstance(result, str), path.name
        assert why in result, path.name


def test_decompression_bombs_are_broken_and_nothing_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [saved(tmp_path / f"{side}.png", np.zeros((side, side), dtype=np.uint8)) for side in (10, 13, 50)]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)  # Pillow warns of more, and refuses twice as many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small, *bombs = decode_all(paths, (1, 8, 8), "crop")
    assert isinstance(small, np.ndarray)
    assert bombs == ["more than 150 pixels"] * 2


def test_odd_metadata_are_no_ones_concern(tmp_path: Path) -> None:
    whole = saved(tmp_path / "x.jpg", np.full((8, 8), 99, dtype=np.uint8), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        decode(whole, (1, 8, 8), "crop")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (image,) = decode_all([whole], (1, 8, 8), "crop")
    assert isinstance(image, np.ndarray)


def test_many_files_come_in_order(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{i}.png", np.full((3, 3), i, dtype=np.uint8)) for i in range(200)]
    levels = [image[0, 0, 0] for image in decode_all(paths, (1, 2, 2), "squash") if isinstance(image, np.ndarray)]
    assert levels == list(range(200))


def test_ctrl_c_stops_the_decoding_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def decode_and_interrupt(path: Path, shape: Any, *_: Any) -> np.ndarray:
        decoded.append(path)
        if path.name == "100":
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)
        return np.zeros(shape, dtype=np.uint8)

    monkeypatch.setattr(module, "decode", decode_and_interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in decode_all([Path(str(i)) for i in range(20_000)], (1, 1, 1), "crop"):
                pass
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(decoded) < 10_000
