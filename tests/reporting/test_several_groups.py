"""More than two groups: Holm's correction, letters, and what is said of them."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from convline.reporting.comparison import find_groups
from convline.reporting.several_groups import compare_several, letter_display
from convline.reporting.verdict import paragraphs_of_several
from support.compared import three_models


@pytest.mark.parametrize(
    ("num_groups", "different", "letters"),
    [
        (3, [], ["a", "a", "a"]),
        (3, [(0, 2)], ["a", "ab", "b"]),
        (3, [(0, 1), (0, 2)], ["a", "b", "b"]),
        (3, [(0, 1), (0, 2), (1, 2)], ["a", "b", "c"]),
        (4, [(0, 2), (0, 3), (1, 3)], ["a", "ab", "bc", "c"]),
        (4, [(0, 1)], ["a", "b", "ab", "ab"]),
    ],
)
def test_letters_by_hand(num_groups: int, different: list[tuple[int, int]], letters: list[str]) -> None:
    assert letter_display(num_groups, different) == letters


@given(st.integers(2, 8).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_two_groups_share_no_letter_exactly_if_they_differ(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    num_groups, pairs = drawn
    different = {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}
    letters = letter_display(num_groups, sorted(different))
    assert all(letters)
    for i, j in itertools.combinations(range(num_groups), 2):
        assert (not set(letters[i]) & set(letters[j])) == ((i, j) in different)


def test_three_groups_are_compared_each_with_each(tmp_path: Path) -> None:
    three_models(tmp_path, [0.990, 0.992, 0.991], [0.970, 0.971, 0.972], [0.9905, 0.9909, 0.9921])
    groups = find_groups([str(tmp_path)], "model", "test/acc")
    result = compare_several(groups, "test/acc")
    assert [group.name for group in result.groups] == ["model=alexnet", "model=lenet", "model=dense"]
    assert result.letters == ["a", "a", "b"]
    p = [stats.ttest_ind(*(result.groups[i].sample("test/acc").values for i in pair), equal_var=False).pvalue
         for pair in ((0, 1), (0, 2), (1, 2))]  # fmt: skip
    first, second = sorted(p[1:])
    assert sorted(pair.adjusted for pair in result.pairs) == pytest.approx(
        [3 * first, max(3 * first, 2 * second), p[0]]
    )
    text = " ".join(paragraphs_of_several(result))
    assert "Groups without a common letter differ, with 95 % confidence over all 3 comparisons together" in text
    assert "2 of 3 pairs" in text


def test_groups_of_few_and_uneven_seeds_are_warned_of(tmp_path: Path) -> None:
    # eight groups of 2 and of 10 seeds that are alike: some pair seems to differ in up to 24 % of cases
    three_models(tmp_path / "uneven", [0.99, 0.98], [0.97, 0.972, 0.971], [0.95])
    result = compare_several(find_groups([str(tmp_path / "uneven")], "model", "test/acc"), "test/acc")
    assert "One group has 2 seeds and another 3: " in " ".join(paragraphs_of_several(result))
    three_models(tmp_path / "even", [0.99, 0.98], [0.97, 0.972], [0.95])
    result = compare_several(find_groups([str(tmp_path / "even")], "model", "test/acc"), "test/acc")
    assert "One group" not in " ".join(paragraphs_of_several(result))


def test_groups_of_one_seed_are_told_apart_by_nothing(tmp_path: Path) -> None:
    three_models(tmp_path, [0.99], [0.97], [0.95])
    result = compare_several(find_groups([str(tmp_path)], "model", "test/acc"), "test/acc")
    assert result.letters == ["a", "a", "a"]
    text = " ".join(paragraphs_of_several(result))
    assert "The data support no difference between any two of them" in text
    assert "3 pairs could not be tested" in text
