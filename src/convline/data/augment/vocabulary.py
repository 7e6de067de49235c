"""The augmentations that a text can name, with their arguments, defaults and sources: the vocabulary, without torch.

What each does to a batch is in `augmentations/`, one class for each word with the arguments as its fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from convline.pattern.arguments import ArgumentTypes, Parameter, normalized, real, whole


@dataclass(frozen=True)
class Operation:
    """One word of the vocabulary.

    Args:
        parameters: its arguments in order.
        does: its effect on one image, in half a sentence of Markdown.
        source: who described it.
        mirrors: swaps left and right, which changes the meaning of text and digits.
        mixes: blends images of different labels, so that targets become soft.
    """

    parameters: tuple[Parameter, ...]
    does: str
    source: str
    mirrors: bool = False
    mixes: bool = False


KINDS: ArgumentTypes = {
    "pixels": (whole(1), "a whole number of pixels, at least 1"),
    "count": (whole(1), "a whole number of at least 1"),
    "border": (lambda value: value in ("reflect", "zero"), "reflect or zero"),
    "chance": (lambda value: real(0, 2)(value) and 0 < value <= 1, "a probability above 0 and at most 1"),
    "degrees": (lambda value: real(0, 181)(value) and value <= 180, "an angle of 0 to 180 degrees"),
    "tilt": (real(0, 90), "an angle of at least 0 and below 90 degrees"),
    "share": (real(0, 1), "a number of at least 0 and below 1"),
    "area": (lambda value: real(0, 2)(value) and 0 < value <= 1, "a share of the area, above 0 and at most 1"),
    "ratio": (lambda value: real(0, 2)(value) and 0 < value <= 1, "a ratio of sides above 0 and at most 1"),
    "strength": (lambda value: real(0, 2)(value) and value <= 1, "a number from 0 to 1"),
    "turn": (lambda value: real(0, 1)(value) and value <= 0.5, "a share of the colour circle, from 0 to 0.5"),
    "alpha": (real(1e-3, 1e3), "a number from 0.001 to 1000"),
    "magnitude": (lambda value: whole(0)(value) and value <= 30, "a whole number from 0 to 30"),
}

OPERATIONS: dict[str, Operation] = {
    "flip": Operation(
        (Parameter("p", "chance", 0.5),),
        "mirrors left and right with probability `p`",
        "Krizhevsky, Sutskever & Hinton 2012",
        mirrors=True,
    ),
    "altflip": Operation(
        (),
        "alternating flip: mirrored in every other epoch, half of the images in the even ones, so that two successive "
        "epochs show each image both ways",
        "Jordan 2024, arXiv 2404.00498",
        mirrors=True,
    ),
    "crop": Operation(
        (Parameter("pad", "pixels", 4), Parameter("mode", "border", "reflect")),
        "pads each side by `pad` pixels and cuts out the original size at a random place; `mode` reflect mirrors the "
        "image at its border, zero makes it black",
        "He et al. 2015 (zero); Zagoruyko & Komodakis 2016 (reflect)",
    ),
    "translate": Operation(
        (Parameter("pixels", "pixels", 2),),
        "shifts by whole pixels, up to `pixels` in each direction; uncovered pixels become the mean",
        "LeCun et al. 1998",
    ),
    "cutout": Operation(
        (Parameter("size", "pixels", 8),),
        "replaces a square of `size`×`size` pixels by the mean; its centre is anywhere, so part of it may lie outside",
        "DeVries & Taylor 2017",
    ),
    "erase": Operation(
        (
            Parameter("p", "chance", 0.5),
            Parameter("min_area", "area", 0.02),
            Parameter("max_area", "area", 0.4),
            Parameter("ratio", "ratio", 0.3),
        ),
        "random erasing: with probability `p` replaces a rectangle inside the image by the mean; its share of the area "
        "is `min_area` to `max_area`, height over width `ratio` to 1/`ratio`",
        "Zhong et al. 2017",
    ),
    "rotate": Operation(
        (Parameter("degrees", "degrees", 15),),
        "turns about the centre by up to `degrees` either way; uncovered pixels become the mean",
        "Simard, Steinkraus & Platt 2003",
    ),
    "affine": Operation(
        (
            Parameter("degrees", "degrees", 0),
            Parameter("translate", "share", 0),
            Parameter("scale", "share", 0),
            Parameter("shear", "tilt", 0),
        ),
        "turns by up to `degrees`, shifts by up to `translate` of the side, scales by 1 ± `scale`, shears by up to "
        "`shear` degrees along x; uncovered pixels become the mean",
        "LeCun et al. 1998; Simard, Steinkraus & Platt 2003",
    ),
    "jitter": Operation(
        (
            Parameter("brightness", "strength", 0),
            Parameter("contrast", "strength", 0),
            Parameter("saturation", "strength", 0),
            Parameter("hue", "turn", 0),
        ),
        "multiplies brightness by 1 ± `brightness`, contrast by 1 ± `contrast`, saturation by 1 ± `saturation`, and "
        "turns the hue by up to `hue` of the colour circle, in this order; the latter two need colour images",
        "Howard 2013, arXiv 1312.5402",
    ),
    "randaugment": Operation(
        (Parameter("num_ops", "count", 2), Parameter("magnitude", "magnitude", 9)),
        "torchvision's `RandAugment`: `num_ops` random operations of strength `magnitude`; image by image, so slow",
        "Cubuk et al. 2020",
    ),
    "trivialaugment": Operation(
        (),
        "torchvision's `TrivialAugmentWide`: one random operation of random strength; image by image, so slow",
        "Müller & Hutter 2021",
    ),
    "mixup": Operation(
        (Parameter("alpha", "alpha", 0.2), Parameter("p", "chance", 1)),
        "with probability `p` blends each image with another one of the batch, and their labels; the shares follow "
        "Beta(`alpha`, `alpha`)",
        "Zhang et al. 2018",
        mixes=True,
    ),
    "cutmix": Operation(
        (Parameter("alpha", "alpha", 1), Parameter("p", "chance", 1)),
        "with probability `p` pastes a rectangle of another image of the batch, and mixes their labels by area; the "
        "share follows Beta(`alpha`, `alpha`)",
        "Yun et al. 2019",
        mixes=True,
    ),
}

# Other spellings, without underscores; names are read in any case.
ALIASES = {
    "hflip": "flip",
    "alternatingflip": "altflip",
    "shift": "translate",
    "randomerasing": "erase",
    "rotation": "rotate",
    "colorjitter": "jitter",
}

CANONICAL = {**{normalized(name): name for name in OPERATIONS}, **ALIASES}


def markdown_table() -> str:
    """All operations as a Markdown table: name with arguments and defaults, effect, source."""
    lines = ["| operation | on each image | source |", "|---|---|---|"]
    for name, operation in OPERATIONS.items():
        form = ", ".join(f"{parameter.name}={parameter.default}" for parameter in operation.parameters)
        lines.append(f"| `{name}{f'({form})' if form else ''}` | {operation.does} | {operation.source} |")
    return "\n".join(lines) + "\n"
