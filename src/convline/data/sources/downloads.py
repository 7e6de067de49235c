"""Download missing files of published data sets, and check them."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

from convline.errors import UserError


def damaged(path: Path, why: str) -> UserError:
    """Return the error for a file that differs from the published one; `why` follows "the data file … is damaged: "."""
    return UserError(
        f"the data file {path} is damaged: {why}.\n"
        f"  Delete it and run again with a network, or put a good copy there, or name another folder: data.root=FOLDER"
    )


def check_md5(path: Path, md5: str, published: str) -> None:
    """Compare the MD5 sum of a file's content with the published one.

    Raises:
        UserError: they differ.
    """
    if md5 != published:
        size = path.stat().st_size
        raise damaged(path, f"its {size:,} bytes do not have the published MD5 sum {published}")


def download(fetch: Callable[[], object], name: str, folder: Path) -> None:
    """Let torchvision download a data set into `folder`; its progress bar is shown, its other output is not.

    Raises:
        UserError: the download failed.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            fetch()
    except (OSError, RuntimeError) as error:
        # torchvision names the file in the first line and the cause in the last one
        cause = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(
            f"there is no {name} in {folder}, and it could not be downloaded: {cause}\n"
            "  Connect to a network, or name a folder that holds it (data.root=FOLDER or the environment variable "
            "CONVLINE_DATA),\n  or take data that need neither: data=digits"
        ) from error
