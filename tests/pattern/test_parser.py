"""The language: text to tree and back, and every way to get it wrong."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convline.pattern.expand import ForkSpec, LayerSpec, ScopeSpec, expand
from convline.pattern.parser import parse
from convline.pattern.source import PatternError
from convline.pattern.syntax_tree import names_in
from convline.pattern.vocabulary import ARGUMENT_TYPES, CANONICAL, UNITS
from support.pointing import assert_points

GRAMMAR = "INPUT -> [[CONV -> RELU]*N -> POOL?]*M -> [FC -> RELU]*K -> FC"


def flat(items):
    """The units in order, forks and scopes opened."""
    for item in items:
        if isinstance(item, LayerSpec):
            yield item
        elif isinstance(item, ScopeSpec):
            yield from flat(item.items)
        else:
            for branch in item.branches:
                yield from flat(branch)


def names(pattern, blocks=None, **variables):
    return [unit.name for unit in flat(expand(pattern, variables, blocks))]


def values(pattern, argument, blocks=None, **variables):
    return [unit.arguments[argument] for unit in flat(expand(pattern, variables, blocks)) if argument in unit.arguments]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (GRAMMAR, "[[conv -> relu]*N -> pool?]*M -> [fc -> relu]*K -> fc"),
        ("Conv( 64,3 , STRIDE=2,pad=SAME )", "conv(64, 3, stride=2, pad=same)"),
        ("CONV(8)  # the stem\n  ->\n RELU\n", "conv(8) -> relu"),
        ("MaxPool? -> Global_Avg_Pool -> Dense", "pool?maxpool -> gap -> fc"),
        ("add{conv(4*C)|Project(c,2)}->[relu]?deep*2", "add{ conv(4*C) | project(c, 2) } -> [relu]?deep*2"),
        ("leakyrelu(0.10)->bn(1e-5)->dropout(.5)", "leaky_relu(0.1) -> bn(1e-05) -> dropout(0.5)"),
        ("conv(bias=FALSE)", "conv(bias=false)"),
    ],
)
def test_canonical_text(text, canonical):
    assert str(parse(text)) == canonical
    assert parse(canonical) == parse(text)


def test_the_grammar_of_the_field_is_valid_text():
    assert names(GRAMMAR, N=2, M=2, K=1, pool=True) == ["conv", "relu"] * 2 + ["pool"] + ["conv", "relu"] * 2 + [
        "pool",
        "fc",
        "relu",
        "fc",
    ]
    assert names(GRAMMAR, N=1, M=1, K=0, pool=False) == ["conv", "relu", "fc"]
    assert names(GRAMMAR, N=1, M=0, K=0, pool=True) == ["fc"]


def test_a_list_is_spread_over_the_stages():
    pattern = "[[CONV(filters) -> RELU]*convs -> POOL?]*3 -> FC"
    variables = {"filters": [8, 16, 32], "convs": [1, 2, 1], "pool": [True, False, True]}
    assert values(pattern, "filters", **variables) == [8, 16, 16, 32]
    assert names(pattern, **variables).count("pool") == 2


def test_the_stage_is_the_outermost_group_even_through_a_block():
    blocks = {"pair(c, s=1)": "conv(c, 3, s) -> [conv(width)]*2"}
    assert values("[pair(c, s) -> pair(c)]*2", "filters", blocks, c=[4, 8], s=[1, 2], width=[5, 6]) == [
        *[4, 5, 5, 4, 5, 5],
        *[8, 6, 6, 8, 6, 6],
    ]
    assert values("[pair(c, s) -> pair(c)]*2", "stride", blocks, c=[4, 8], s=[1, 2], width=9)[::3] == [1, 1, 2, 1]


def test_groups_with_maps_become_stages_and_blocks_become_scopes():
    items = expand("conv -> [conv -> b]*2 -> [fc -> relu]*2 -> fc", {}, {"b": "add{conv | identity}"})
    assert [item.name for item in items] == ["conv", "stage", "stage", "fc", "relu", "fc", "relu", "fc"]
    block = items[1].items[1]
    assert (block.name, type(block.items[0])) == ("b", ForkSpec)


def test_products_and_defaults():
    assert values("[conv(4*c) -> conv(c*c)]*2", "filters", c=[2, 3]) == [8, 4, 12, 9]
    (conv,) = expand("CONV", {})
    assert conv.arguments == {
        "filters": 32,
        "kernel": 3,
        "stride": 1,
        "pad": "same",
        "groups": 1,
        "dilation": 1,
        "bias": True,
    }
    (pool,) = expand("POOL", {})
    assert pool.arguments == {"kernel": 2, "stride": 2, "pad": "valid"}


BROKEN = [
    ("", 1, 1, "the text is empty"),
    ("conv -> [relu -> fc", 1, 9, "never closed; add ']'"),
    ("conv -> relu] -> fc", 1, 13, "closes nothing"),
    ("conv -> [] -> fc", 1, 10, "nothing stands between '[' and ']'"),
    ("conv ->\nrelu ->", 2, 8, "the end of the text came"),
    ("conv relu", 1, 6, "join steps by '->'"),
    ("conv -> rellu -> fc", 1, 9, "did you mean 'relu'?"),
    ("conv -> INPUT -> fc", 1, 9, "only stand at the very beginning"),
    ("conv(3x3)", 1, 7, "expected ',' or ')', but 'x3' came"),
    ("conv(stride=2, 3)", 1, 16, "cannot follow one by name"),
    ("[conv]?", 1, 7, "needs the name of its variable"),
    ("conv*-1", 1, 6, "is no count"),
    ("conv*2*2", 1, 7, "a second '*'"),
    ("concat{conv}", 1, 1, "joins two or more"),
    ("add -> fc", 1, 1, "needs branches"),
    ("addd{conv | conv}", 1, 1, "did you mean 'add'?"),
    ("conv > fc", 1, 6, "is no part of the language"),
    ("conv(1e999)", 1, 6, "too large"),
    ("[" * 200, 1, 41, "nested more than 40 deep"),
]


@pytest.mark.parametrize(("text", "line", "column", "says"), BROKEN)
def test_broken_text_is_pointed_at(text, line, column, says):
    with pytest.raises(PatternError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert says in str(caught.value)


def test_the_caret_stands_under_the_place():
    with pytest.raises(PatternError) as caught:
        parse("conv -> relu\n  -> convv(3) -> fc")
    _, text, caret = str(caught.value).splitlines()
    assert text[caret.index("^") :].startswith("convv")
    with pytest.raises(PatternError) as caught:
        parse("conv -> " * 100 + "tahn" + " -> conv" * 100)
    _, text, caret = str(caught.value).splitlines()
    assert len(text) < 120
    assert text[caret.index("^") :].startswith("tahn")


WRONG_NAMES = [
    (GRAMMAR, {"N": 1, "M": 1, "K": 0}, 31, "'POOL' has no value"),
    (
        GRAMMAR,
        {"N": 1, "M": 2, "K": 0, "pool": [True]},
        31,
        "list of 1, [True], but its outermost group is there 2 times",
    ),
    (GRAMMAR, {"N": 0, "M": 1, "K": 0, "pool": False}, 10, "nothing is left of this group"),
    (GRAMMAR, {"N": 1, "M": 1, "K": 0, "pool": 1}, 35, "true or false, not 1"),
    (GRAMMAR, {"N": 1.5, "M": 1, "K": 0, "pool": True}, 26, "a whole number of at least 0, but N is 1.5"),
    (GRAMMAR, {"N": 1, "M": 1, "K": 0, "pool": True, "pol": 2}, 1, "'pol' has no effect"),
    ("conv(filters) -> fc", {"filter": 8}, 1, "did you mean 'filters'?"),
    ("[conv]*0", {}, 1, "nothing is left of the network"),
    ("conv(f) -> fc", {"f": [1, 2]}, 6, "stands outside every group"),
    ("conv(3, strid=2)", {}, 9, "did you mean 'stride'?"),
    ("conv(3, filters=2)", {}, 9, "given twice"),
    ("relu(3)", {}, 6, "too many arguments"),
    ("conv(0)", {}, 6, "a whole number of at least 1 and below 2^31, but is 0"),
    ("conv(pad=full)", {}, 10, "'full' has no value"),
    ("dropout(1.0)", {}, 9, "below 1"),
    ("add{conv | relu*0}", {}, 1, "nothing is left of branch 2; type identity"),
    ("[[conv]*20000]*20000", {}, 3, "more than 20,000 units"),
    ("conv(2*flag)", {"flag": True}, 6, "only numbers can be multiplied"),
]


@pytest.mark.parametrize(("text", "variables", "column", "says"), WRONG_NAMES)
def test_wrong_names_are_pointed_at(text, variables, column, says):
    with pytest.raises(PatternError) as caught:
        expand(text, variables)
    assert says.lower() in str(caught.value).lower()
    assert caught.value.column == column


WRONG_BLOCKS = [
    ({"b(c": "conv(c)"}, "b(1) -> fc", "headed by a name and its parameters"),
    ({"conv(c)": "relu"}, "conv -> fc", "is a word of the language already"),
    ({"b(c)": "conv(c)"}, "b -> fc", "'c' is missing; the form is b(c)"),
    ({"b(c, c)": "conv(c)"}, "b(1, 2) -> fc", "'c' is there twice"),
    ({"b(c=x)": "conv(c)"}, "b -> fc", "the default 'x' is no number"),
    ({"b": "b -> conv"}, "b -> fc", "block b uses itself"),
    ({"b": "conv ->"}, "b -> fc", "block b column 8"),
    ({"b": "conv(3, oops=1)"}, "relu -> b -> fc", "used from pattern column 9"),
]


@pytest.mark.parametrize(("blocks", "text", "says"), WRONG_BLOCKS)
def test_wrong_blocks_are_pointed_at(blocks, text, says):
    with pytest.raises(PatternError) as caught:
        expand(text, {}, blocks)
    assert says in str(caught.value)


# Hypothesis: random valid patterns as text, then random damage.
numbers = st.one_of(
    st.integers(-99, 10**12).map(str), st.floats(allow_nan=False, allow_infinity=False, width=32).map(str)
)
words = st.sampled_from(["true", "FALSE", "same", "n", "Width", "k_1"])
factors = st.one_of(numbers, words.filter(lambda word: word.lower() not in ("true", "false", "same")))
literals = st.one_of(numbers, words, st.lists(factors, min_size=2, max_size=3).map("*".join))
keywords = st.builds("{}={}".format, st.sampled_from(["stride", "PAD", "x"]), literals)
arguments = st.builds(
    lambda a, b: f"({', '.join([*a, *b])})", st.lists(literals, max_size=3), st.lists(keywords, max_size=2)
)
units = st.sampled_from([*UNITS, *CANONICAL, "Conv", "POOL", "MaxPool"])
steps = st.builds(
    lambda name, args, mark: name + args + mark, units, st.just("") | arguments, st.sampled_from(["", "?", "?on"])
)
counts = st.sampled_from(["", "*0", "*3", "*N", "?deep", "*2?deep", "?deep*M"])


def _grow(inner):
    chains = st.lists(inner, min_size=1, max_size=3).map(" ->\n ".join)
    groups = st.builds("[{}]{}".format, chains, counts)
    forks = st.builds(
        lambda kind, branches, count: f"{kind}{{{' | '.join(branches)}}}{count}",
        st.sampled_from(["add", "CONCAT"]),
        st.lists(chains, min_size=2, max_size=3),
        counts,
    )
    return groups | forks


nodes = st.recursive(steps, _grow, max_leaves=8)
patterns = st.lists(nodes, min_size=1, max_size=4).map("->".join)


@settings(max_examples=150, deadline=None)
@given(patterns)
def test_canonical_text_gives_the_same_tree(text):
    tree = parse(text)
    assert parse(str(tree)) == tree
    assert str(parse(str(tree))) == str(tree)


def read(text):
    """The tree, which its own canonical text gives again; None if the text is refused, with a finger on the place."""
    try:
        tree = parse(text)
    except PatternError as error:
        assert_points(error, text)
        return None
    assert parse(str(tree)) == tree
    return tree


@settings(max_examples=150, deadline=None)
@given(patterns, st.data())
def test_damaged_text_raises_nothing_but_pattern_errors(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    inserted = data.draw(st.text("[](){}|,*?=->#.eE0 \nconvINPUT\x00é", max_size=6))
    tree = read(text[:start] + inserted + text[end:])
    assert tree is not None or start < end or inserted, "without damage it is read"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_any_text_raises_nothing_but_pattern_errors(text):
    tree = read(text)
    assert tree is None or set(re.findall(r"[a-z]\w*", str(tree))) & set(UNITS), "what is read names a unit"


@settings(max_examples=150, deadline=None)
@given(patterns | patterns.map("[{}]*2".format), st.data())
def test_expanding_raises_nothing_but_pattern_errors(text, data):
    used = sorted({name.lower() for name in names_in(parse(text))})
    choices = st.sampled_from([0, 2, True, 0.5, "same", [1, 2], [True, False], None])
    variables = {name: data.draw(choices, label=name) for name in used}
    try:
        items = expand(text, variables)
    except PatternError as error:
        assert_points(error, text)
        return
    left = list(flat(items))
    assert left
    for unit in left:
        parameters = UNITS[unit.name]
        assert set(unit.arguments) == {parameter.name for parameter in parameters}
        for parameter in parameters:
            value = unit.arguments[parameter.name]
            assert value is None or isinstance(value, int | float | str), "neither a name nor a list is left"
            assert value == parameter.default or ARGUMENT_TYPES[parameter.kind][0](value)
