"""Say in words what a comparison supports, and what it does not say."""

from convline.formatting import plural
from convline.reporting.comparison import Comparison
from convline.reporting.metric_text import lower_is_better, signed
from convline.reporting.statistics import ALPHA, MAX_SEEDS, POWER, Difference

_NO_SPREAD = (
    "No verdict on the configurations: the seeds of each side gave the same value, so that nothing tells how far "
    "other seeds would be from it. Train both with more, or compare losses: --metric loss"
)


def words(found: Comparison) -> list[str]:
    """Return paragraphs: the verdict over seeds, the paired one where it differs, other images, warnings."""
    has_one_seed = min(len(found.a.runs), len(found.b.runs)) < 2
    paragraphs = [_over_seeds(found) if found.over_seeds else _one_seed(found) if has_one_seed else _NO_SPREAD]
    if found.over_seeds and found.by_seed and found.by_seed.is_supported != found.over_seeds.is_supported:
        paragraphs.append(_paired_otherwise(found, found.by_seed))
    paragraphs += _on_images(found)
    if found.metric.startswith("val/"):
        paragraphs.append(
            "These are validation metrics, which have chosen the checkpoints: they are too good, and the more was "
            "chosen by them, the better they look."
        )
    elif found.num_test_evaluations:
        paragraphs.append(
            f"The test set was evaluated {plural(found.num_test_evaluations, 'time')}; every evaluation that led to a "
            "choice makes its metrics less trustworthy."
        )
    return paragraphs


def _over_seeds(found: Comparison) -> str:
    difference = found.over_seeds
    assert difference is not None
    if difference.is_supported:
        return (
            f"The data support a difference: {_better(found, difference.value)}, by {_size(found, difference.value)} "
            f"on average over seeds, with 95 % confidence between {_between(found, difference)}."
        )
    text = (
        f"The data do not support a difference: the 95 % interval of A − B over seeds, "
        f"{signed(found.metric, difference.low)} to {signed(found.metric, difference.high, unit=True)}, includes 0."
    )
    if difference.value == 0:
        return f"{text} The means are equal, so there is no difference that more seeds could confirm."
    have = min(len(found.a.runs), len(found.b.runs))
    if found.needed is None:
        more = f"more than {MAX_SEEDS:,} seeds of each would be needed to confirm it"
    else:
        more = f"{_more(found.needed, have)} would confirm it"
    chance = f"(in {100 * POWER:.0f} % of such experiments, α = {ALPHA:g})"
    return f"{text} If the true difference and spread are the observed ones, {more} {chance}."


def _more(needed: int, have: int) -> str:
    """Say how many seeds are needed. The estimate can be below the present number: ask for at least one more."""
    return f"about {needed:,} seeds of each, {max(needed - have, 1):,} more,"


def _one_seed(found: Comparison) -> str:
    short = " and ".join(letter for letter, group in (("A", found.a), ("B", found.b)) if len(group.runs) < 2)
    return (
        f"No verdict on the configurations: there is one seed of {short}, and nobody can tell a difference of "
        "configurations from one of seeds. Train both with several, such as:\n"
        "  python train.py -m … 'seed=range(5)'"
    )


def _paired_otherwise(found: Comparison, pairs: Difference) -> str:
    interval = f"{signed(found.metric, pairs.low)} to {signed(found.metric, pairs.high, unit=True)}"
    verb = "excludes" if pairs.is_supported else "includes"
    return (
        f"Paired by seed ({pairs.n} pairs), the interval is {interval}, which {verb} 0. Decide which of the two counts "
        "before you look, not after; unpaired is the cautious one, since one seed draws other weights in two networks."
    )


def _on_images(found: Comparison) -> list[str]:
    images = found.images
    if images is None:
        return ["Some runs have no saved logits (predictions/*.npz), so nothing is said about single images."]
    difference, split = images.difference, found.metric.partition("/")[0]
    if len(found.a.runs) == len(found.b.runs) == 1:
        pair = images.pairs[0]
        holds = "support" if pair.p < ALPHA else "do not support"
        return [
            f"About these two networks only: of {images.num_images:,} {split} images A alone has {pair.only_a:,} "
            f"correct and B alone {pair.only_b:,}; "
            f"the data {holds} a difference in accuracy (McNemar, p = {pair.p:.2g})."
        ]
    interval = f"{signed(found.metric, difference.low)} to {signed(found.metric, difference.high, unit=True)}"
    if difference.is_supported:
        return [f"On other images of the kind, these networks would differ too: the interval is {interval}."]
    return [f"On other images of the kind, these networks may be alike: the interval, {interval}, includes 0."]


def _better(found: Comparison, value: float) -> str:
    a_is_better = (value < 0) == lower_is_better(found.metric)
    first, second = (found.a, found.b) if a_is_better else (found.b, found.a)
    return f"{first.name} is better than {second.name} in {found.metric}"


def _size(found: Comparison, value: float) -> str:
    return signed(found.metric, abs(value), unit=True).removeprefix("+")


def _between(found: Comparison, difference: Difference) -> str:
    low, high = sorted(abs(end) for end in (difference.low, difference.high))
    return f"{signed(found.metric, low).removeprefix('+')} and {_size(found, high)}"
