"""Load the checkpoints of a run directory; a damaged one is refused, and so is one that holds code."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

from convline.errors import UserError
from convline.formatting import first_line


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load the tensors and plain values of a checkpoint onto the CPU; code in it is refused, not executed.

    Raises:
        UserError: the file is missing or damaged, or holds code.
    """
    import torch  # takes seconds, which reading a folder of runs need not wait for

    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a zip file" if path.is_file() else "it is not there")
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise ValueError(f"the check sum of {broken} is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
            raise ValueError("it holds no weights")
        return checkpoint
    except pickle.UnpicklingError as error:
        raise UserError(
            f"the checkpoint {path} holds more than tensors and plain values, and was not loaded: it could run code.\n"
            f"  {first_line(error)}"
        ) from error
    except Exception as error:
        raise UserError(f"the checkpoint {path} is damaged: {first_line(error)}") from error


def newest_checkpoint(run_dir: Path) -> tuple[Path | None, list[str]]:
    """Find the checkpoint to continue a run from: the last one, or the best one if the last one is damaged.

    Returns:
        Its path, or None if the run has not written any; and a message for each that is damaged.
    Raises:
        UserError: all checkpoints of the run are damaged.
    """
    messages = []
    for name in ("last.ckpt", "best.ckpt"):
        path = run_dir / "checkpoints" / name
        if not path.exists():
            continue
        try:
            load_checkpoint(path)
        except UserError as error:
            messages.append(str(error))
        else:
            return path, messages
    if messages:
        raise UserError(f"{run_dir} holds no checkpoint that can be used:\n  " + "\n  ".join(messages))
    return None, []
