"""Read the logits and labels that a run has stored, of each image of a split."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from convline.formatting import first_line, shape_text
from convline.records.files import RunFileError, check_ordinary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REMEDY = "Everything else of the run works. Put a copy back: a finished run does not write it again."


def read_predictions(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read predictions/SPLIT.npz, which may be damaged or come from somebody else; pickles in it are refused.

    Returns:
        Logits N×classes, and labels N; of multi-label images N×classes.
    Raises:
        RunFileError: the file is missing or damaged, or logits and labels do not belong together.
    """
    import numpy as np  # takes a tenth of a second, which a report without --compare need not wait for

    try:
        check_ordinary(path)
        with zipfile.ZipFile(path) as archive:
            # `np.savez` compresses nothing; what is compressed could grow without limit
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed")
        with np.load(path, allow_pickle=False) as saved:
            logits, labels = saved["logits"], saved["labels"]
        _check(logits, labels)
    except RunFileError as error:
        raise RunFileError(path, error.problem, REMEDY) from error
    except KeyError as error:
        raise RunFileError(path, f"is damaged: it holds no {error.args[0]}", REMEDY) from error
    except Exception as error:  # NumPy and zipfile raise many kinds
        raise RunFileError(path, f"is damaged: {first_line(error)}", REMEDY) from error
    return logits, labels


def _check(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Check that these are the logits of some images and their labels.

    Raises:
        ValueError: they are not.
    """
    if logits.dtype.kind != "f" or logits.ndim != 2 or not logits.size:
        raise ValueError(f"its logits are {logits.dtype} {shape_text(logits.shape)}, not numbers of images × classes")
    if labels.ndim == 1:
        if labels.dtype.kind not in "iu" or labels.dtype.itemsize > 8 or labels.dtype == "uint64":
            raise ValueError(f"its labels are {labels.dtype}, not whole numbers")
        if len(labels) == len(logits) and not (labels.min() >= 0 and labels.max() < logits.shape[1]):
            raise ValueError(f"a label lies outside of 0 to {logits.shape[1] - 1}")
    elif labels.dtype.kind not in "fiub" or not ((labels == 0) | (labels == 1)).all():
        raise ValueError("its labels of several classes are not 0 and 1")
    if labels.shape not in (logits.shape[:1], logits.shape):
        raise ValueError(
            f"{shape_text(logits.shape)} logits and {shape_text(labels.shape)} labels do not belong together"
        )
