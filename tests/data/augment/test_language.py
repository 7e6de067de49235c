"""Augmentations as text: what is understood, what is refused and how, what may be typed on the command line."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from convline.config import expand_sweep, load_config
from convline.config.options import groups
from convline.config.overrides import quote_units
from convline.data.augment.base import ARGUMENT_TYPES, Augmentation
from convline.data.augment.language import parse_augment
from convline.data.augment.operations import ALIASES, AUGMENTATIONS, markdown_table
from convline.data.augment.pipeline import Pipeline
from convline.errors import UserError
from convline.pattern.source import PatternError
from support.pointing import assert_points

ROOT = Path(__file__).parents[3]


def steps(spec: object) -> list[str]:
    return [str(step) for step in parse_augment(spec)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (["flip", "crop(4)"], ["flip(p=0.5)", "crop(pad=4, mode=reflect)"]),
        ("flip, crop(4)", ["flip(p=0.5)", "crop(pad=4, mode=reflect)"]),
        (" FLIP -> Crop( 2 ,MODE=Zero)\n-> cutout ", ["flip(p=0.5)", "crop(pad=2, mode=zero)", "cutout(size=8)"]),
        (["affine(15, translate=0.1)"], ["affine(degrees=15, translate=0.1, scale=0, shear=0)"]),
        (["Alternating_Flip", "Rand_Augment(numops=3)"], ["altflip", "randaugment(num_ops=3, magnitude=9)"]),
        (OmegaConf.create(["erase(min_area=.1)"]), ["erase(p=0.5, min_area=0.1, max_area=0.4, ratio=0.3)"]),
        ([], []),
        ("", []),
        (None, []),
    ],
)
def test_lists_and_texts_are_read(spec: object, expected: list[str]) -> None:
    assert steps(spec) == expected


def test_the_canonical_text_of_a_step_reads_as_itself() -> None:
    for step in parse_augment(
        "flip, crop(3, zero), translate, cutout, erase, rotate, affine(1), jitter(1), randaugment"
    ):
        assert parse_augment(str(step)) == (step,)


def test_every_operation_is_listed_with_defaults_in_range_effect_and_source() -> None:
    assert set(AUGMENTATIONS.values()) == set(Augmentation.__subclasses__())
    assert set(ALIASES.values()) <= set(AUGMENTATIONS)
    for name, kind in AUGMENTATIONS.items():
        fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        assert fields == [parameter.name for parameter in kind.parameters()]
        for parameter in kind.parameters():
            strengths_are_zero = not parameter.default and name in ("affine", "jitter")
            assert strengths_are_zero or ARGUMENT_TYPES[parameter.kind][0](parameter.default), (name, parameter)
        assert kind.effect
        assert kind.source
    assert {name for name, kind in AUGMENTATIONS.items() if kind.mirrors} == {"flip", "altflip"}
    assert {name for name, kind in AUGMENTATIONS.items() if kind.mixes} == {"mixup", "cutmix"}


@pytest.mark.parametrize(
    ("spec", "column", "problem"),
    [
        ("flip crop(4)", 6, "expected ',' or '->', but 'crop' came"),
        (["flip", "crp(4)"], 7, "there is no augmentation 'crp' (did you mean 'crop'?); there are flip, altflip, "),
        (["flip", "crop(4"], 11, "this '(' is never closed; add ')'"),
        ("crop(4, mode=mirror)", 9, "mode must be reflect or zero, but is 'mirror'"),
        ("crop(0)", 6, "pad must be a whole number of pixels, at least 1, but is 0"),
        ("crop(4.5)", 6, "pad must be a whole number of pixels"),
        ("crop(4, zero, 3)", 15, "too many arguments; the form is crop(pad, mode)"),
        ("flip(q=0.5)", 6, "'q' is no argument of flip(p)"),
        ("flip(p=0)", 6, "p must be a probability above 0 and at most 1, but is 0"),
        ("flip(p=1.5)", 6, "p must be a probability"),
        ("flip(true)", 6, "p must be a probability above 0 and at most 1, but is True"),
        ("crop(2*2)", 6, "2*2 is no number; type the product itself"),
        ("crop(-)", 6, "'-' is no part of the language"),
        ("crop(=)", 6, "expected a number or a word, but '=' came"),
        ("rotate(181)", 8, "degrees must be an angle of 0 to 180 degrees, but is 181"),
        ("affine(10, shear=90)", 12, "shear must be an angle of at least 0 and below 90 degrees, but is 90"),
        ("affine(scale=1)", 8, "scale must be a number of at least 0 and below 1, but is 1"),
        ("jitter(hue=0.6)", 8, "hue must be a share of the color circle, from 0 to 0.5, but is 0.6"),
        ("randaugment(magnitude=31)", 13, "magnitude must be a whole number from 0 to 30, but is 31"),
        ("mixup(0)", 7, "alpha must be a number from 0.001 to 1000, but is 0"),
        ("erase(min_area=0.5)", 1, "min_area=0.5 is larger than max_area=0.4; swap them"),
        (
            "flip, affine",
            7,
            "affine changes nothing while each of its strengths is 0; type for example affine(degrees=10)",
        ),
        (
            "rotate(0)",
            1,
            "rotate changes nothing while each of its strengths is 0; type for example rotate(degrees=10)",
        ),
        ("jitter(0, 0)", 1, "type for example jitter(brightness=0.2)"),
        ("mixup, flip", 1, "mixup mixes images that are otherwise finished; put it last"),
        ("mixup, cutmix", 8, "mixup mixes the labels already; take one of the two"),
        ("flip, altflip", 7, "flip mirrors already, and twice is no mirroring; take one"),
        ("flip,", 6, "expected an operation such as flip or crop(4), but the end of the text came"),
        (["flip", "", "crop"], 7, "expected an operation such as flip or crop(4), but ',' came"),
        ("cifar", 1, "'cifar' is a preset; choose it with a slash: data/augment=cifar"),
        ("none", 1, "'none' is a preset; choose it with a slash: data/augment=none"),
    ],
)
def test_mistakes_are_shown_where_they_are(spec: object, column: int, problem: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_augment(spec)
    heading, text, caret = str(caught.value).split("\n")
    assert heading.startswith(f"data.augment column {column}: ")
    assert problem in heading
    assert text.strip() == (spec if isinstance(spec, str) else ", ".join(spec))  # type: ignore[call-overload]
    assert caret == " " * (4 + column - 1) + "^"


@pytest.mark.parametrize(("spec", "came"), [([3], "3"), (["flip", ["crop"]], "['crop']"), (["flip # x", "crop"], "x")])
def test_a_list_holds_texts(spec: object, came: str) -> None:
    with pytest.raises(UserError, match=re.escape(came) + r".* is in it\.\n  Type: 'data\.augment=\[flip,crop\(4\)\]'"):
        parse_augment(spec)


def test_a_mapping_is_no_list() -> None:
    with pytest.raises(UserError, match=r"is a list of operations, but \{'crop': 4\} came"):
        parse_augment({"crop": 4})


PIECES = [*AUGMENTATIONS, "Shift", "(2)", "(0)", "(p=0.5)", "0.5", "zero", " -> ", ", ", *"()=*#\nx"]
wholes = st.lists(
    st.sampled_from(
        ["flip", "crop(2)", "rotate", "Erase(p=.3)", "affine(shear=1e1)", "jitter(0, 1)", "mixup", "cutout # 8"]
    ),
    max_size=4,
)
texts = st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | wholes.map(" -> ".join) | st.text(max_size=20)


@given(texts | wholes | st.lists(st.sampled_from(PIECES), max_size=4) | st.lists(st.text(max_size=8), max_size=3))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(spec: str | list[str]) -> None:
    commented = [element for element in spec if "#" in element] if isinstance(spec, list) else []
    refusal = ""
    try:
        found = parse_augment(spec)
    except PatternError as error:
        assert_points(error, spec if isinstance(spec, str) else ", ".join(spec), "data.augment")
    except UserError as error:
        refusal = str(error)
    else:
        assert parse_augment([str(step) for step in found]) == found
        assert parse_augment(" -> ".join(map(str, found))) == found
        for step in found:
            for parameter in AUGMENTATIONS[step.name].parameters():
                assert ARGUMENT_TYPES[parameter.kind][0](getattr(step, parameter.name)), step
    if commented:  # they would swallow the elements after them
        assert f"{commented[0]!r} is in it.\n  Type: 'data.augment=[flip,crop(4)]'" in refusal
    else:
        assert not refusal


@pytest.mark.parametrize(
    ("spec", "shape", "problem"),
    [
        (
            "crop(8)",
            (1, 8, 9),
            "crop(pad=8, mode=reflect) does not fit images of 1×8×9: 8 pixels on a side are not fewer",
        ),
        ("crop(9, zero)", (1, 12, 9), "type crop(8) or less"),
        ("translate(1)", (1, 1, 1), "leave it out"),
        ("cutout(9)", (3, 8, 16), "a square of 9 pixels a side is larger than the image; type cutout(8) or less"),
        ("erase(min_area=0.9, max_area=1)", (3, 8, 8), "no square with 0.9 to 1 of the area fits in"),
        ("erase(min_area=0.001, max_area=0.002)", (3, 8, 8), "no square with 0.001 to 0.002 of the area fits in"),
        ("jitter(0.2, 0.1, 0.3)", (1, 8, 8), "gray images have neither saturation nor hue; type jitter(0.2, 0.1)"),
        ("jitter(hue=0.1)", (1, 8, 8), "neither saturation nor hue; leave it out"),
        ("jitter(0.1)", (4, 8, 8), "but these have 4 channels; leave it out"),
        ("trivialaugment", (2, 8, 8), "images of 1 or 3 channels, but these have 2; leave it out"),
    ],
)
def test_operations_that_do_not_fit_the_images_are_refused(
    spec: str, shape: tuple[int, int, int], problem: str
) -> None:
    with pytest.raises(UserError) as caught:
        Pipeline(parse_augment(spec), shape, 10, torch.zeros(shape[0]), 0)
    assert str(caught.value).startswith("data.augment: ")
    assert problem in str(caught.value)


def test_the_largest_that_fit_are_accepted() -> None:
    images = torch.randint(256, (64, 1, 8, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 10
    for spec in ("crop(7)", "translate(7)", "cutout(8)", "jitter(1, 1)", "erase"):
        pipeline = Pipeline(parse_augment(spec), (1, 8, 9), 10, torch.full((1,), 100.0), 0)
        changed, targets = pipeline(images, labels, pipeline.random_parameters(0, 64))
        assert changed.shape == images.shape, spec
        assert (changed.min() >= 0) & (changed.max() <= 255), spec
        assert torch.equal(targets, labels), spec
        share = (changed != images).flatten(1).any(dim=1).float().mean()
        assert share >= (0.3 if spec == "erase" else 0.9), f"{spec} changes few images"  # erase: half of them


@pytest.mark.parametrize("preset", groups()["data/augment"])
def test_presets_are_read_and_fit_their_data(preset: str) -> None:
    data = load_config([f"data/augment={preset}", "data=mnist" if preset == "mnist" else "data=cifar10"]).data
    found = parse_augment(data.augment)
    assert bool(found) == (preset != "none")
    pipeline = Pipeline(found, tuple(data.input_shape), 10, torch.zeros(data.channels), 0)
    assert not (preset == "mnist" and any(step.mirrors for step in pipeline.steps))
    assert any(step.mixes for step in pipeline.steps) == (preset == "strong")


def value(word: str) -> object:
    (override,) = OverridesParser.create().parse_overrides(quote_units([word]))
    return list(override.sweep_iterator()) if override.is_sweep_override() else override.value()


@pytest.mark.parametrize("sign", ["", "+", "++"])
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("[flip,crop(4),cutout(8)]", ["flip", "crop(4)", "cutout(8)"]),
        ("[flip, affine(15,translate=0.1), crop (2, zero)]", ["flip", "affine(15,translate=0.1)", "crop (2, zero)"]),
        ("crop(4)", "crop(4)"),
        ("flip -> crop(4)", "flip -> crop(4)"),
        ("[flip -> cutout]", ["flip -> cutout"]),
        ("[flip]", ["flip"]),
        ("[]", []),
        ("null", None),
        ("""["crop(4)",'cutout(8)',erase(p=0.5)]""", ["crop(4)", "cutout(8)", "erase(p=0.5)"]),
        ('"flip, crop(4)"', "flip, crop(4)"),
    ],
)
def test_augmentations_may_be_typed_plainly(sign: str, typed: str, expected: object) -> None:
    assert value(f"{sign}data.augment={typed}") == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("[flip],[flip,crop(4)]", [["flip"], ["flip", "crop(4)"]]),
        ("crop(4),flip", ["crop(4)", "flip"]),
        ("choice([flip],[crop(4)])", [["flip"], ["crop(4)"]]),
        ("tag(a, choice(crop(4), flip))", ["crop(4)", "flip"]),
    ],
)
def test_sweeps_of_augmentations_may_be_typed_plainly(typed: str, expected: list[object]) -> None:
    words = quote_units([f"data.augment={typed}", "seed=0"])
    jobs = [load_config(words).data.augment for words in expand_sweep(words)]
    assert [OmegaConf.to_container(job) if OmegaConf.is_config(job) else job for job in jobs] == expected


@pytest.mark.parametrize(
    "word",
    [
        "model.pattern=conv(8)",
        "data.augmented=crop(4)",
        "xdata.augment=crop(4)",
        "optimizer.lr=interval(0,1)",
        "~data.augment",
        "-m",
        "data.augment=[crop(4]",
        "data.augment=crop(4)]",
        "data.augment=['crop(4)",
        'data.augment=["crop(4)"]',
        r'data.augment=["a\"b(1)"]',
        "data.augment=a'b(1)'",
    ],
)
def test_other_words_stay_as_they_are(word: str) -> None:
    assert quote_units(["seed=1", word]) == ["seed=1", word]


def test_the_page_holds_the_table_of_the_operations() -> None:
    assert markdown_table() in (ROOT / "docs" / "data.md").read_text()
    for name, kind in AUGMENTATIONS.items():
        (row,) = [line for line in markdown_table().splitlines() if re.match(rf"\| `{name}[`(]", line)]
        for parameter in kind.parameters():
            (default,) = re.findall(rf"[(, ]{parameter.name}=([^,)]+)", row.split("|")[1])
            assert yaml.safe_load(default) == parameter.default
            assert f"`{parameter.name}`" in row, row
