"""Many configs at once are those that Hydra composes one by one; `seeds=N` is a sweep."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from convline.config import load_configs
from convline.config.compose import compose_config
from convline.config.load import spread_seeds
from convline.errors import UserError

OVERRIDES = st.lists(
    st.one_of(
        st.sampled_from(
            ["model=lenet", "model=dense", "optimizer=adam", "data=synthetic", "scheduler=step", "tta=flip"]
        ),
        st.integers(1, 512).map(lambda size: f"data.batch_size={size}"),
        st.floats(1e-6, 10).map(lambda rate: f"optimizer.lr={rate}"),
        st.integers(0, 9).map(lambda seed: f"seed={seed}"),
        st.sampled_from(["data.augment=[flip]", "data.input_shape=[1,8,8]", "classifier.ema_decay=null"]),
        st.sampled_from(["~callbacks.projector", "+model.width=3", "callbacks.pictures.at_end=[]", "name='a b'"]),
    ),
    max_size=6,
    unique_by=lambda override: override.partition("=")[0],
)


@settings(max_examples=8, deadline=None)
@given(st.lists(OVERRIDES, min_size=1, max_size=3))
def test_configs_that_share_a_composition_equal_those_that_hydra_composes(combinations: list[list[str]]) -> None:
    for (cfg, choices), overrides in zip(load_configs(combinations), combinations, strict=True):
        expected, expected_choices = compose_config(tuple(overrides))
        assert choices == expected_choices
        assert OmegaConf.to_container(cfg) == OmegaConf.to_container(expected)
        assert OmegaConf.to_container(cfg, resolve=True) == OmegaConf.to_container(expected, resolve=True)


def test_seeds_are_a_sweep_from_seed_upwards() -> None:
    assert spread_seeds(["model=lenet"]) == ["model=lenet"]
    assert spread_seeds(["seeds=3", "model=lenet"]) == ["-m", "model=lenet", "seed=range(0,3)"]
    assert spread_seeds(["-m", "seed=7", "seeds=2"]) == ["-m", "seed=range(7,9)"]


@pytest.mark.parametrize("words", [["seeds=0"], ["seeds=two"], ["seeds=2", "seed=1,2"]])
def test_seeds_that_cannot_be_swept_are_refused(words: list[str]) -> None:
    with pytest.raises(UserError, match="seeds="):
        spread_seeds(words)
