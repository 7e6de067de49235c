"""A figure has one name everywhere, and the names of the first edition still lead to it."""

from pathlib import Path

import pytest
from PIL import Image

from convline import figures
from convline.callbacks.figures import Pictures
from convline.commands.figures import save
from convline.errors import UserError
from convline.figures.canvas import png


@pytest.mark.parametrize("name", figures.BY_NAME)
def test_the_function_is_exported_under_the_figures_name(name: str) -> None:
    assert getattr(figures, name) is figures.BY_NAME[name]
    assert name in figures.__all__


@pytest.mark.parametrize("former", figures.FORMER_NAMES)
def test_former_names_stand_for_the_present_ones(former: str) -> None:
    current = figures.FORMER_NAMES[former]
    assert figures.by_name(former) is figures.by_name(current) is figures.BY_NAME[current]
    assert callable(getattr(figures, former))


def test_names_of_the_first_edition_are_complete() -> None:
    names = "filters feature_maps predictions mistakes confusion confusion_normalised reliability explanations "
    names += "receptive_fields preferences shifts"
    assert {figures.canonical_name(name) for name in names.split()} <= set(figures.BY_NAME)


@pytest.mark.slow
def test_scripts_of_the_first_edition_draw_the_same(watched: Path) -> None:
    former = figures.confusion(watched, part="val", normalised=True)  # type: ignore[attr-defined]
    assert png(former) == png(figures.confusion_matrix(watched, split="val", normalized=True))
    from convline.figures import shifts  # type: ignore[attr-defined]

    assert png(shifts(watched)) == png(figures.translation(watched))


def test_configs_of_the_first_edition_name_the_same_figures() -> None:
    callback = Pictures(at_end=["filters", "mistakes"], at_epochs=["preferences"], times=2)
    assert callback.at_end == ["filters", "top_losses"]
    assert callback.at_epochs == ["feature_visualization"]
    with pytest.raises(UserError, match="at_epochs names confusion_matrix, drawn of the predictions"):
        Pictures(at_end=[], at_epochs=["confusion"], times=2)


@pytest.mark.slow
def test_a_former_name_on_the_command_line_writes_the_present_file(watched: Path) -> None:
    (path,) = save(watched, ["confusion"])
    assert path == watched / "pictures" / "confusion_matrix.png"
    assert Image.open(path).size[0] > 100


def test_a_misspelled_attribute_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'confusoin'"):
        figures.confusoin  # type: ignore[attr-defined]  # noqa: B018
