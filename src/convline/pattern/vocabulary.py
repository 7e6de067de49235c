"""List the units of the pattern language with their parameters and defaults.

`project` and `shortcut` are the two shortcuts of residual networks. `enlarge` makes small images as large as a network
needs. `network/layer_builders.py` builds the module of each unit. This module needs no torch.
"""

from __future__ import annotations

from convline.pattern.arguments import ArgumentTypes, Parameter, normalized, real, whole

ARGUMENT_TYPES: ArgumentTypes = {
    "size": (whole(1), "a whole number of at least 1 and below 2^31"),
    "pad": (
        lambda value: value in ("same", "valid") or whole(0)(value),
        "same, valid or a whole number of at least 0 and below 2^31",
    ),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "rate": (real(0.0, 1.0), "a number of at least 0 and below 1"),
    "number": (real(-1e30, 1e30), "a number between -1e30 and 1e30"),
    "any": (lambda value: True, "a value"),
    "positive": (real(1e-12, 1e12), "a number from 1e-12 to 1e12"),
}


def _window(filters: bool, kernel: int, stride: int, pad: str | int) -> tuple[Parameter, ...]:
    width = (Parameter("filters", "size", 32),) if filters else ()
    return (
        *width,
        Parameter("kernel", "size", kernel),
        Parameter("stride", "size", stride),
        Parameter("pad", "pad", pad),
    )


_BIAS = Parameter("bias", "flag", True)
_POOL = _window(False, 2, 2, "valid")
_SHORTCUT = (Parameter("filters", "size"), Parameter("stride", "size", 1))

UNITS: dict[str, tuple[Parameter, ...]] = {
    "conv": (
        *_window(True, 3, 1, "same"),
        Parameter("groups", "size", 1),
        Parameter("dilation", "size", 1),
        _BIAS,
    ),
    "local": (*_window(True, 3, 1, "same"), _BIAS),
    "fc": (Parameter("units", "size", None), _BIAS),
    "relu": (),
    "leaky_relu": (Parameter("slope", "number", 0.01),),
    "tanh": (),
    "sigmoid": (),
    "logsigmoid": (),
    "gelu": (),
    "silu": (),
    "softmax": (),
    "pool": _POOL,
    "avgpool": _POOL,
    "l2pool": _POOL,
    "gausspool": (*_POOL, Parameter("sigma", "positive", None)),
    "gap": (),
    "adaptivepool": (Parameter("size", "size", 1),),
    "adaptivemaxpool": (Parameter("size", "size", 1),),
    "bn": (Parameter("eps", "positive", 1e-5), Parameter("momentum", "rate", 0.1)),
    "groupnorm": (Parameter("groups", "size", 8), Parameter("eps", "positive", 1e-5)),
    "lrn": (
        Parameter("size", "size", 5),
        Parameter("alpha", "positive", 1e-4),
        Parameter("beta", "positive", 0.75),
        Parameter("k", "positive", 1.0),
    ),
    "dropout": (Parameter("rate", "rate", 0.5),),
    "flatten": (),
    "identity": (),
    "enlarge": (Parameter("size", "size"),),
    "project": (*_SHORTCUT, Parameter("bn", "flag", True)),
    "shortcut": _SHORTCUT,
}

# Other spellings, without underscores; names are read in any case.
ALIASES = {
    "convolution": "conv",
    "conv2d": "conv",
    "locallyconnected": "local",
    "dense": "fc",
    "linear": "fc",
    "leakyrelu": "leaky_relu",
    "swish": "silu",
    "maxpool": "pool",
    "averagepool": "avgpool",
    "globalavgpool": "gap",
    "globalaveragepool": "gap",
    "adaptiveavgpool": "adaptivepool",
    "batchnorm": "bn",
    "localresponsenorm": "lrn",
}

# Units that work on maps: an outermost group that holds one of them is a stage of the network.
MAP_UNITS = {
    "conv",
    "local",
    "lrn",
    "enlarge",
    "project",
    "shortcut",
    "gap",
    *(name for name in UNITS if "pool" in name),
}

CANONICAL = {**{normalized(unit): unit for unit in UNITS}, **ALIASES}
