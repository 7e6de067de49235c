"""Write the verdict of a comparison: whether the data support a difference, and what limits the verdict."""

import math
from collections.abc import Sequence

from convline.config.metrics import is_share, lower_is_better
from convline.formatting import plural, train_command
from convline.reporting.comparison import Comparison, Group
from convline.reporting.metric_text import signed_text
from convline.reporting.several_groups import SeveralGroups
from convline.reporting.statistics import ALPHA, MAX_SEEDS, POWER, Difference

FEW = 4  # seeds; of so many or fewer on one side, Welch's test errs if the other has more (docs/statistics.md)
FEW_IMAGES = 100  # below this number the bootstrap of losses is too narrow (docs/statistics.md)
NOTABLE_BIAS = 0.5  # standard errors of the mean; a larger bias of a choice leads to more than 6 % of false positives
_NO_SPREAD = (
    "No verdict on the configurations: the seeds of each side gave the same value, so that nothing tells how far "
    "other seeds would be from it. Train both with more, or compare losses: --metric loss"
)


def paragraphs(result: Comparison) -> list[str]:
    """Write the paragraphs of a verdict: over seeds, paired by seed if that differs, on other images, and warnings."""
    has_one_seed = min(len(result.a.runs), len(result.b.runs)) < 2
    texts = [_over_seeds(result) if result.over_seeds else _one_seed(result) if has_one_seed else _NO_SPREAD]
    if result.over_seeds and result.by_seed and result.by_seed.is_supported != result.over_seeds.is_supported:
        texts.append(_paired_otherwise(result, result.by_seed))
    if result.over_seeds:
        texts += _few_and_uneven("side", [len(result.a.runs), len(result.b.runs)])
    texts += _chosen([("A", result.a), ("B", result.b)], result.metric)
    texts += _on_images(result)
    return texts + _of_the_split(result.metric, result.num_test_evaluations)


def paragraphs_of_several(result: SeveralGroups) -> list[str]:
    """Write the paragraphs of a verdict on more than two groups: which differ, and warnings."""
    different = [pair for pair in result.pairs if pair.is_supported]
    over_all = f"over all {len(result.pairs)} comparisons together"
    if different:
        texts = [
            f"Groups without a common letter differ, with 95 % confidence {over_all} (Welch's test, Holm's "
            f"correction): {len(different)} of {plural(len(result.pairs), 'pair')}."
        ]
    else:
        texts = [
            f"The data support no difference between any two of them {over_all} (Welch's test, Holm's correction)."
        ]
    if without := sum(pair.difference is None for pair in result.pairs):
        texts.append(
            f"{plural(without, 'pair')} could not be tested: a group has one seed, or the seeds of both gave the same "
            "value. Train them with more."
        )
    tested = [len(group.runs) for group in result.groups if len(group.runs) > 1]
    if len(tested) > 1:
        texts += _few_and_uneven("group", tested)
    texts += _chosen([(group.name, group) for group in result.groups], result.metric)
    return texts + _of_the_split(result.metric, result.num_test_evaluations)


def _of_the_split(metric: str, num_test_evaluations: int) -> list[str]:
    if metric.startswith("val/"):
        return [
            "These are validation metrics, which have chosen the checkpoints: they are too good, and the more was "
            "chosen by them, the better they look."
        ]
    if not num_test_evaluations:
        return []
    return [
        f"The test set was evaluated {plural(num_test_evaluations, 'time')}; every evaluation that led to a choice "
        "makes its metrics less trustworthy."
    ]


def _over_seeds(result: Comparison) -> str:
    difference = result.over_seeds
    assert difference is not None
    if difference.is_supported:
        return (
            f"The data support a difference: {_better(result, difference.value)}, by {_size(result, difference.value)} "
            f"on average over seeds, with 95 % confidence between {_between(result, difference)}."
        )
    low = signed_text(result.metric, difference.low)
    text = (
        f"The data do not support a difference: the 95 % interval of A − B over seeds, {low} to "
        f"{signed_text(result.metric, difference.high, unit=True)}, includes 0."
    )
    if difference.value == 0:
        return (
            f"{text} The means are equal; the true difference may be as large as {_size(result, difference.largest)}."
        )
    num_seeds = min(len(result.a.runs), len(result.b.runs))
    if result.needed is None:
        more = f"more than {MAX_SEEDS:,} seeds of each would be needed to confirm it"
    else:
        more = f"roughly {_more(result.needed, num_seeds)} would confirm it"
    chance = f"(in {100 * POWER:.0f} % of such experiments, α = {ALPHA:g})"
    fewest = f"{result.needed_at_most:,}" if result.needed_at_most else f"more than {MAX_SEEDS:,}"
    return (
        f"{text} If the true difference and spread are the observed ones, {more} {chance}; {fewest} if the difference "
        "is as large as the interval allows, and any number may be too few if it is near 0."
    )


def _more(needed: int, num_seeds: int) -> str:
    """Write how many seeds are needed; at least one more, since the estimate can be below the present number."""
    return f"{needed:,} seeds of each, {max(needed - num_seeds, 1):,} more,"


def _one_seed(result: Comparison) -> str:
    sides = " and ".join(letter for letter, group in (("A", result.a), ("B", result.b)) if len(group.runs) < 2)
    return (
        f"No verdict on the configurations: there is one seed of {sides}, and nobody can tell a difference of "
        "configurations from one of seeds. Train both with several, such as:\n"
        f"  {train_command()} -m … 'seed=range(5)'"
    )


def _paired_otherwise(result: Comparison, pairs: Difference) -> str:
    interval = f"{signed_text(result.metric, pairs.low)} to {signed_text(result.metric, pairs.high, unit=True)}"
    verb = "excludes" if pairs.is_supported else "includes"
    return (
        f"Paired by seed ({pairs.n} pairs), the interval is {interval}, which {verb} 0. Decide which of the two counts "
        "before you look, not after; unpaired is the cautious one, since one seed draws other weights in two networks."
    )


def _few_and_uneven(kind: str, num_seeds: Sequence[int]) -> list[str]:
    """Warn of numbers of seeds with which Welch's test errs, of sides or of groups."""
    few, many = min(num_seeds), max(num_seeds)
    if few > FEW or many < (2 * few if few == FEW else few + 1):
        return []
    return [
        f"One {kind} has {few} seeds and {'the other' if kind == 'side' else 'another'} {many}: with so few and uneven "
        "seeds such a comparison may err more often than in 5 % of cases, above all if the smaller "
        f"{kind} varies more. Train the smaller {kind} with more seeds."
    ]


def _chosen(named: Sequence[tuple[str, Group]], metric: str) -> list[str]:
    """Say of each group that was chosen among several configurations what this does to its metric."""
    texts = []
    for name, group in named:
        if len(group.candidates) > 1:
            bias, sample = group.selection_bias(metric), group.sample(metric)
            text = f"{name} was chosen as the best of {len(group.candidates)} configurations by {group.runs[0].monitor}"
            if bias > 0:
                size = signed_text(metric, bias, unit=True).removeprefix("+")
                text += f": if in truth they are alike, its mean is too good by about {size}"
                if bias > NOTABLE_BIAS * sample.sd / math.sqrt(sample.n):
                    text += ", and 95 % confidence is not reached"
            texts.append(f"{text}. To be sure, train it with seeds that chose nothing: --confirm 5")
    return texts


def _on_images(result: Comparison) -> list[str]:
    images = result.images
    if images is None:
        return ["Some runs have no saved logits (predictions/*.npz), so nothing is said about single images."]
    difference, split = images.difference, result.metric.partition("/")[0]
    if images.pairs and len(result.a.runs) == len(result.b.runs) == 1:
        pair = images.pairs[0]
        support = "support" if pair.p < ALPHA else "do not support"
        return [
            f"About these two networks only: of {images.num_images:,} {split} images A alone has {pair.only_a:,} "
            f"correct and B alone {pair.only_b:,}; "
            f"the data {support} a difference in accuracy (McNemar, p = {pair.p:.2g})."
        ]
    low = signed_text(result.metric, difference.low)
    interval = f"{low} to {signed_text(result.metric, difference.high, unit=True)}"
    is_narrow = images.num_images < FEW_IMAGES and not is_share(result.metric)
    note = " Of so few images, such an interval of losses is somewhat too narrow." * is_narrow
    if images.is_supported:
        return [f"On other images of the kind, these networks would differ: the interval is {interval}.{note}"]
    if difference.is_supported:
        return [
            "On other images of the kind, these networks may be alike: only "
            f"{plural(images.num_differing, 'image')} of {images.num_images:,} tell"
            f"{'s' * (images.num_differing == 1)} them apart, too few to trust the interval, {interval}."
        ]
    return [f"On other images of the kind, these networks may be alike: the interval, {interval}, includes 0.{note}"]


def _better(result: Comparison, value: float) -> str:
    a_is_better = (value < 0) == lower_is_better(result.metric)
    first, second = (result.a, result.b) if a_is_better else (result.b, result.a)
    return f"{first.name} is better than {second.name} in {result.metric}"


def _size(result: Comparison, value: float) -> str:
    return signed_text(result.metric, abs(value), unit=True).removeprefix("+")


def _between(result: Comparison, difference: Difference) -> str:
    low, high = sorted(abs(end) for end in (difference.low, difference.high))
    return f"{signed_text(result.metric, low).removeprefix('+')} and {_size(result, high)}"
