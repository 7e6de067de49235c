"""Decode image files of any size and format into uint8 arrays of one shape, in parallel."""

import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from convline.machine import num_cores

if TYPE_CHECKING:
    from PIL.Image import Image

# Formats that are decoded, whatever suffix a file has. Pillow decodes some others by external programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
Resize = Literal["crop", "squash"]
Shape = tuple[int, int, int]
# Bits of a pixel that scanners and cameras have. Files hold them in 16 bits, of which the upper ones are then 0.
DEPTHS = (8, 10, 12, 14, 16)
DEEP_SUFFIXES = (".png", ".tif", ".tiff")  # formats that can have 16 bits; a JPEG has a suffix of its own
T = TypeVar("T")
FILES_A_TASK = 8  # small, so that Ctrl-C does not wait for long


def decode(path: Path, shape: Shape, resize: Resize, depth: int = 16) -> np.ndarray:
    """Decode one image: apply its EXIF orientation, remove transparency, resize.

    Args:
        path: of the file. Of several frames the first one is taken.
        shape: channels (1: gray, 3: red, green and blue), height and width of the result.
        resize: "crop" keeps the proportions: the largest part around the center that has those of `shape`;
            "squash" takes the whole image. Either way bilinear and antialiased.
        depth: bits of a pixel that gray files of 16 bits use; see `measure_depth`.
    Returns:
        uint8, of `shape`.
    Raises:
        Exception: of any type, from the decoders: the file is broken, or no image of these formats.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    with Image.open(path, formats=FORMATS) as opened:
        side = 2 * max(height, width)
        opened.draft(None, (side, side))  # a JPEG is decoded at 1/2, 1/4 or 1/8, if that is at least so large
        image = _opaque(ImageOps.exif_transpose(opened), depth).convert("L" if channels == 1 else "RGB")
    if resize == "crop":
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    else:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)


def _opaque(image: "Image", depth: int) -> "Image":
    """Convert to 8 bits, with white where the image is transparent."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        levels = np.asarray(image) * (255 / (2**depth - 1))
        return Image.fromarray(np.rint(levels.clip(0, 255)).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32-bit numbers of unknown range; save it with 8 or 16 bits")
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def measure_depth(paths: Sequence[Path]) -> int | None:
    """Find how many bits of a pixel the gray files of 16 bits use, over all of them; None if there are none.

    Medical images have 12 bits: taken for 16, their 4,096 levels would become 16 of 256.

    Returns:
        The smallest of `DEPTHS` that holds the largest pixel.
    """
    deep = [path for path in paths if path.suffix.lower() in DEEP_SUFFIXES]
    largest = max(_in_threads(deep, _largest_pixel), default=-1)
    return next((depth for depth in DEPTHS if largest < 2**depth), None) if largest >= 0 else None


def _largest_pixel(path: Path) -> int:
    """Return the largest pixel of a gray file of 16 bits; -1 for other files, of which only the header is read."""
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            return int(np.asarray(image).max()) if image.mode.startswith("I;16") else -1
    except Exception:  # a broken file, which `decode_all` will name
        return -1


def decode_all(
    paths: Sequence[Path], shape: Shape, resize: Resize, depth: int | None = None
) -> Generator[np.ndarray | str, None, None]:
    """Decode files in parallel by threads; see `decode`.

    Yields:
        For each path, in order, its image, or the reason why it cannot be decoded.
    """
    yield from _in_threads(paths, lambda path: _decode_or_reason(path, shape, resize, depth or 16))


def _in_threads(paths: Sequence[Path], read: Callable[[Path], T]) -> Generator[T, None, None]:
    """Read files by threads, in order, since Pillow's decoders release the global interpreter lock."""

    def read_some(some: Sequence[Path]) -> list[T]:
        return [read(path) for path in some]

    workers = num_cores()
    waiting: deque[Future[list[T]]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        from PIL import Image

        warnings.simplefilter("ignore")  # of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            for start in range(0, len(paths), FILES_A_TASK):
                waiting.append(pool.submit(read_some, paths[start : start + FILES_A_TASK]))
                if len(waiting) > 4 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _decode_or_reason(path: Path, shape: Shape, resize: Resize, depth: int) -> np.ndarray | str:
    try:
        return decode(path, shape, resize, depth)
    except Exception as error:  # decoders fail on broken files with errors of every type
        from PIL import Image, UnidentifiedImageError

        if isinstance(error, UnidentifiedImageError):
            return "no image in a format that is read here"
        if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
            return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        return (str(error).splitlines() or [""])[0] or type(error).__name__
