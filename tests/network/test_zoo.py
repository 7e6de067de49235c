"""Every model file: published counts, torchvision's logits, and one contract over every model × data pair."""

from functools import cache
from pathlib import Path

import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from convline.config import load_config
from convline.network.build import build_network
from convline.network.summary import summarize
from convline.pattern.source import PatternError

CONF = Path(__file__).parents[2] / "conf" / "model"
SMALL = sorted(path.stem for path in CONF.glob("*.yaml"))
IMAGENET = sorted(path.stem for path in (CONF / "imagenet").glob("*.yaml"))
IMAGES = {"digits": (1, 8, 8), "synthetic": (1, 16, 16), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


@cache
def config(name):
    loaded = OmegaConf.to_container(load_config([f"model={name}"]).model, resolve=False)
    assert loaded.pop("_target_") == "convline.network.build_network"
    assert loaded.pop("_convert_") == "all"
    return loaded


def build(name, input_shape=None, **changes):
    """A small model for images of this shape, or a published one as its file has it."""
    given = {} if input_shape is None else {"input_shape": input_shape, "num_classes": 10}
    return build_network(**{**config(name), **given, **changes})


def meta(name, input_shape=None, **changes):
    with torch.device("meta"):
        return build(name, input_shape, **changes)


PUBLISHED = {
    "alexnet": 61_100_840,
    "alexnet_grouped": 60_965_224,
    "zfnet": 62_357_608,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "googlenet": 6_998_552,
    "googlenet_bn": 6_624_904,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}


@pytest.mark.parametrize("name", IMAGENET)
def test_published_counts(name):
    network, shape = meta(f"imagenet/{name}"), config(f"imagenet/{name}")["input_shape"]
    table = summarize(network, shape)
    assert table.parameters == sum(p.numel() for p in network.parameters()) == PUBLISHED[name]
    assert table.output_shape == (1000,)
    assert set(IMAGENET) == set(PUBLISHED)
    assert f"{PUBLISHED[name]:,} parameters" in (CONF / "imagenet" / f"{name}.yaml").read_text().split("\n")[0]


@pytest.mark.parametrize(
    ("name", "images", "count"),
    [
        ("lenet", "mnist", 61_706),
        ("lenet", "digits", 61_706),
        ("lenet_1998", "mnist", 61_750),
        ("keras_mnist", "mnist", 93_322),
        ("keras_cifar10", "cifar10", 528_054),
        ("resnet20", "cifar10", 269_722),
        ("resnet32", "cifar10", 464_154),
        ("resnet56", "cifar10", 853_018),
    ],
)
def test_counts_of_small_models(name, images, count):
    assert sum(p.numel() for p in meta(name, IMAGES[images]).parameters()) == count
    assert f"{count:,} parameters" in (CONF / f"{name}.yaml").read_text().split("\n")[0]


def maps(name, images):
    table = summarize(meta(name, IMAGES[images]), IMAGES[images])
    return [layer.output_shape for layer in table.layers if len(layer.output_shape) == 3 and "relu" not in layer.name]


def test_maps_of_the_tutorial_and_the_papers():
    assert maps("keras_mnist", "mnist") == [(32, 26, 26), (32, 13, 13), (64, 11, 11), (64, 5, 5), (64, 3, 3)]
    table = summarize(meta("keras_cifar10", (3, 32, 32)), (3, 32, 32))
    assert [layer.parameters for layer in table.layers if layer.parameters] == [208, 2_080, 8_256, 512_500, 5_010]
    pooled = summarize(meta("imagenet/zfnet"), (3, 224, 224)).layers
    assert [pooled[i].output_shape[1] for i in (0, 2, 4, 6, 8)] == [110, 55, 26, 13, 13]
    stages = summarize(meta("resnet56", (3, 32, 32)), (3, 32, 32))
    assert sum(layer.kind in ("Conv2d", "Linear") for layer in stages.layers) == 56


def test_options():
    def kinds(name, **changes):
        return [type(module).__name__ for module in meta(name, (3, 32, 32), **changes).modules()]

    assert kinds("vgg16").count("BatchNorm2d") == 13
    assert "BatchNorm2d" not in kinds("vgg16", bn=False)
    assert "BatchNorm2d" not in kinds("googlenet", bn=False)
    assert "MaxPool2d" not in kinds("pattern", pool=False)
    assert kinds("pattern", N=2, M=3, K=2, filters=[8, 16, 32], pool=[True, True, False]).count("Conv2d") == 6


def macs_by_torch(network, shape):
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval()(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", [*SMALL, *(f"imagenet/{name}" for name in IMAGENET)])
def test_table_counts_the_multiply_accumulates_that_torch_counts(name):
    shape = config(name)["input_shape"] if "/" in name else (3, 32, 32)
    network = meta(name, None if "/" in name else shape)
    assert summarize(network, shape).macs == macs_by_torch(network, shape)


@pytest.mark.parametrize(
    "images",
    [pytest.param(name, marks=[pytest.mark.slow] if name in ("cifar10", "synthetic") else []) for name in IMAGES],
)
@pytest.mark.parametrize("name", SMALL)
def test_contract_of_every_model_on_every_image_size(name, images):
    torch.manual_seed(0)
    shape = IMAGES[images]
    network = build(name, shape)
    table = summarize(network, shape)
    seen = []
    for path, module in network.named_modules():
        if path in {layer.name for layer in table.layers}:
            module.register_forward_hook(
                lambda module, inputs, out, path=path: seen.append((path, tuple(out.shape[1:])))
            )
    logits = network(torch.randn(2, *shape))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    assert seen == [(layer.name, layer.output_shape) for layer in table.layers]
    assert table.parameters == sum(p.numel() for p in network.parameters())
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 2])).backward()
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.dim() == 1 or parameter.grad.any(), path


TORCHVISION = {
    "vgg11": lambda: torchvision.models.vgg11(),
    "alexnet": lambda: torchvision.models.alexnet(),
    "googlenet_bn": lambda: torchvision.models.googlenet(aux_logits=False, init_weights=False),
    "resnet18": lambda: torchvision.models.resnet18(),
    "resnet50": lambda: torchvision.models.resnet50(),
}


def random_state(network):
    """Weights that keep the size of what passes through, and norms that do something."""
    state = {}
    for name, tensor in network.state_dict().items():
        if tensor.dim() > 1:
            state[name] = torch.empty(tensor.shape).normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("running_var", "weight")):
            state[name] = torch.empty(tensor.shape).uniform_(0.5, 1.5)
        elif tensor.dtype.is_floating_point:
            state[name] = torch.empty(tensor.shape).normal_(0, 0.1)
        else:
            state[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    return state


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_logits(name):
    torch.manual_seed(0)
    with torch.device("meta"):
        reference = TORCHVISION[name]()
    network = meta(f"imagenet/{name}")
    state = random_state(reference)
    reference.load_state_dict(state, assign=True)
    names = list(network.state_dict())
    assert len(names) == len(state)
    network.load_state_dict(dict(zip(names, state.values(), strict=True)), assign=True)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = reference.eval()(image)
        torch.testing.assert_close(network.eval()(image), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.01


def test_image_sizes_that_no_file_was_made_for_are_refused_or_work():
    for name in SMALL:
        try:
            network = meta(name, (3, 5, 7))
        except PatternError as error:
            assert "needs a map of at least" in str(error)  # noqa: PT017
        else:
            assert summarize(network, (3, 5, 7)).output_shape == (10,)
