"""The script that stores the results of lessons, and the page and experiment headers that it writes from them."""

import re
from pathlib import Path

import pytest

import reproduction
from convline.lessons.reproduce import STORED_RESULTS
from convline.lessons.results import ConfigurationResults, Results


def configuration(label: str, *accuracies: float) -> ConfigurationResults:
    seeds = list(range(len(accuracies)))
    return ConfigurationResults(
        label, {}, seeds, {"test/acc": list(accuracies)}, {}, 10, 20, 3, 2, [2.0] * len(accuracies)
    )


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (Results("mnist_dense", {"dense": configuration("dense", *[0.9] * 5)}, {}, ["data=digits"]), "data=digits"),
        (Results("mnist_dense", {"dense": configuration("dense", 0.9, 0.9)}), "2 of 5 seeds"),
        (Results("mnist_dense"), "0 of 5 seeds"),
    ],
)
def test_results_of_other_settings_or_too_few_seeds_are_not_stored(
    results: Results, message: str, tmp_path: Path
) -> None:
    results.save(tmp_path / "mnist_dense" / "results.json")
    stored = STORED_RESULTS / "mnist_dense.json"
    before = stored.read_text()
    with pytest.raises(SystemExit, match=re.escape(message)):
        reproduction.main(tmp_path)
    assert stored.read_text() == before


def test_the_page_and_the_headers_of_experiments_agree_with_the_stored_results() -> None:
    assert reproduction.PAGE.read_text() == reproduction.document(), "type: python scripts/reproduction.py"
    for path, text in reproduction.experiments_with_headers().items():
        assert path.read_text() == text, "type: python scripts/reproduction.py"
