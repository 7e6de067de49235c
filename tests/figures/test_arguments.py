"""Arguments of figures that cannot be drawn are refused before a run is read."""

from typing import Any

import pytest

from convline import figures
from convline.errors import UserError


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("predictions", {"rows": -1}, "rows=-1: it must be a whole number from 1 to 100"),
        ("predictions", {"columns": 0}, "columns=0"),
        ("predictions", {"rows": 1, "columns": 10**5}, "columns=100000"),
        ("top_losses", {"columns": 0}, "columns=0"),
        ("feature_maps", {"num_channels": 0}, "num_channels=0"),
        ("feature_maps", {"num_images": True}, "num_images=True"),
        ("feature_visualization", {"num_filters": 0}, "num_filters=0"),
        ("attribution", {"num_images": 0}, "num_images=0"),
        ("receptive_fields", {"num_images": 1.5}, "num_images=1.5"),
        ("translation", {"split": "train"}, "split='train': it must be val or test"),
        ("calibration", {"split": None}, "split=None"),
        ("confusion_matrix", {"split": ["val"]}, "split="),
    ],
)
def test_is_refused(name: str, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: ") as caught:
        getattr(figures, name)("no run is read", **arguments)
    assert expected in str(caught.value)
