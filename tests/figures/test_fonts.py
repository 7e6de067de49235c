"""Class names that matplotlib's own font cannot write."""

import pytest

from convline.figures import fonts
from convline.figures.confusion_matrix import draw


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fonts._family_with.cache_clear()
    fonts._explain.cache_clear()


def test_names_of_the_own_font_stay() -> None:
    assert fonts.drawable_names(["Käfer", "жук"]) == ["Käfer", "жук"]
    assert fonts.families("Käfer") == ["sans-serif"]


def test_a_name_that_no_font_has_is_a_number_that_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matplotlib.font_manager.fontManager.ttflist", [])
    assert fonts.drawable_names(["cat", "猫", "狗"]) == ["cat", "1", "2"]
    assert fonts.drawable_names(["cat", "猫", "狗"]) == ["cat", "1", "2"]
    assert capsys.readouterr().out.count("1: 猫, 2: 狗") == 1


def test_a_font_that_has_the_letter_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.setattr(fonts, "_own_characters", lambda: frozenset(map(ord, "abc")))
    found = fonts.families("az")
    assert found[0] == "sans-serif"
    assert len(found) == 2  # one of the installed fonts has a z
    figure = draw(np.eye(2, dtype=np.int64), ["a", "z"], False, "2 images")
    assert figure.axes[0].get_xticklabels()[0].get_fontfamily() == found
