"""List all augmentations by name, and write their reference table."""

from __future__ import annotations

from convline.data.augment.base import Augmentation
from convline.data.augment.color import Jitter
from convline.data.augment.crops import Crop, Translate
from convline.data.augment.erasing import Cutout, Erase
from convline.data.augment.flips import AltFlip, Flip
from convline.data.augment.geometry import Affine, Rotate
from convline.data.augment.mixing import CutMix, MixUp
from convline.data.augment.policies import RandAugment, TrivialAugment
from convline.pattern.arguments import normalized

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    kind.__name__.lower(): kind
    for kind in (
        Flip,
        AltFlip,
        Crop,
        Translate,
        Cutout,
        Erase,
        Rotate,
        Affine,
        Jitter,
        RandAugment,
        TrivialAugment,
        MixUp,
        CutMix,
    )
}

# Other names, without underscores; case is ignored.
ALIASES = {alias: name for name, kind in AUGMENTATIONS.items() for alias in kind.aliases}

CANONICAL = {**{normalized(name): name for name in AUGMENTATIONS}, **ALIASES}


def markdown_table() -> str:
    """Return all operations as a Markdown table: name with arguments and defaults, effect, source."""
    lines = ["| operation | on each image | source |", "|---|---|---|"]
    for name, kind in AUGMENTATIONS.items():
        signature = ", ".join(f"{parameter.name}={parameter.default}" for parameter in kind.parameters())
        lines.append(f"| `{name}{f'({signature})' if signature else ''}` | {kind.effect} | {kind.source} |")
    return "\n".join(lines) + "\n"
