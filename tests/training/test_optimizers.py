"""Parameter groups by hand; optimizers that need more than a call of `step`, against loops written out."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

from convline.errors import UserError
from convline.training.optimizers import Muon, ParameterGroups, needs_closure
from convline.training.schedules import Schedule
from support.fitting import batches_by_hand, fit, make_data, make_network

SGD = partial(torch.optim.SGD, lr=0.8, weight_decay=0.1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 3))


def groups_of(optimizer: torch.optim.Optimizer, module: nn.Module) -> list[tuple[set[str], float, float]]:
    names = {id(p): name for name, p in module.named_parameters()}
    return [({names[id(p)] for p in g["params"]}, g["lr"], g["weight_decay"]) for g in optimizer.param_groups]


def test_without_settings_there_is_one_group() -> None:
    module = network()
    names = {name for name, _ in module.named_parameters()}
    assert groups_of(ParameterGroups().build(module, SGD), module) == [(names, 0.8, 0.1)]


def test_biases_and_norms_without_weight_decay() -> None:
    module = network()
    weights, norm, biases = {"0.weight", "3.weight"}, {"1.weight", "1.bias"}, {"0.bias", "3.bias"}
    assert groups_of(ParameterGroups(["biases", "norms"]).build(module, SGD), module) == [
        (weights, 0.8, 0.1),
        (biases | norm, 0.8, 0.0),
    ]
    assert groups_of(ParameterGroups(["norms"]).build(module, SGD), module) == [
        (weights | biases, 0.8, 0.1),
        (norm, 0.8, 0.0),
    ]


def test_layer_decay_halves_the_rate_of_each_earlier_layer() -> None:
    module = network()
    assert groups_of(ParameterGroups(layer_decay=0.5).build(module, SGD), module) == [
        ({"0.weight", "0.bias"}, 0.2, 0.1),
        ({"1.weight", "1.bias"}, 0.4, 0.1),
        ({"3.weight", "3.bias"}, 0.8, 0.1),
    ]


def test_patterns_set_what_they_name_and_freeze() -> None:
    module = network()
    own = {"3.*": {"lr": 0.01}, "*.bias": {"weight_decay": 0.5}, "0.*": {"frozen": True}}
    assert groups_of(ParameterGroups(groups=own).build(module, SGD), module) == [
        ({"1.weight"}, 0.8, 0.1),
        ({"1.bias"}, 0.8, 0.5),
        ({"3.weight"}, 0.01, 0.1),
        ({"3.bias"}, 0.01, 0.5),
    ]
    assert not module[0].weight.requires_grad


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"fc*": {"lr": 1}}, r"no parameter has a name like 'fc\*'"),
        ({"3.*": {"lrr": 1}}, "SGD has no setting lrr .did you mean 'lr'"),
        ({"*": {"frozen": True}}, "no parameter of the network is trained"),
    ],
)
def test_wrong_groups_are_refused(own: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ParameterGroups(groups=own).build(network(), SGD)


def test_an_optimizer_that_takes_no_groups_is_refused_with_them() -> None:
    with pytest.raises(UserError, match=r"per-parameter options.*\n.*leave optimizer.no_decay"):
        ParameterGroups(no_decay=["biases"]).build(network(), partial(torch.optim.LBFGS, lr=1.0))


def test_sam_takes_groups_with_the_settings_of_its_base_optimizer() -> None:
    sam = pytest.importorskip("pytorch_optimizer").SAM
    make = partial(sam, base_optimizer=torch.optim.SGD, lr=0.8, weight_decay=0.1, momentum=0.9)
    module = network()
    optimizer = ParameterGroups(no_decay=["biases"]).build(module, make)
    decays = {name: decay for names, _, decay in groups_of(optimizer, module) for name in names}
    assert decays["0.bias"] == 0.0
    assert decays["0.weight"] == 0.1


class TestMuon:
    def test_layer_decay_reaches_matrices_and_the_rest(self) -> None:
        module = network()
        optimizer = ParameterGroups(layer_decay=0.5).build(module, partial(Muon, lr=0.4, rest_lr=0.8))
        rates = {name: rate for names, rate, _ in groups_of(optimizer, module) for name in names}
        # convolution, batch norm, head: factors 1/4, 1/2 and 1; the head and all but matrices have the other rate
        assert rates == {
            "0.weight": pytest.approx(0.1), "0.bias": pytest.approx(0.2), "1.weight": pytest.approx(0.4),
            "1.bias": pytest.approx(0.4), "3.weight": pytest.approx(0.8), "3.bias": pytest.approx(0.8),
        }  # fmt: skip

    def step(self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()

    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_convolutions_are_matrices_for_torchs_muon_and_the_rest_is_adamw(self, memory_format: Any) -> None:
        ours = network().to(memory_format=memory_format)
        theirs = deepcopy(network())
        optimizer = Muon(ours.parameters(), lr=0.1, rest_lr=0.01)
        filters = nn.Parameter(theirs[0].weight.detach().reshape(4, 9).clone())
        muon = torch.optim.Muon([filters], lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
        rest = [p for name, p in theirs.named_parameters() if name != "0.weight"]
        adamw = torch.optim.AdamW(rest, lr=0.01, weight_decay=0.01)
        for seed in range(3):
            self.step(optimizer, list(ours.parameters()), seed)
            generator = torch.Generator().manual_seed(seed)
            filters.grad = torch.randn(ours[0].weight.shape, generator=generator).reshape(4, 9)
            for parameter in rest:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            muon.step()
            adamw.step()
        assert torch.equal(ours[0].weight.flatten(1), filters)
        for name, parameter in theirs.named_parameters():
            if name != "0.weight":
                assert torch.equal(dict(ours.named_parameters())[name], parameter), name

    def test_its_state_goes_on_to_the_bit(self) -> None:
        one, other = network(), network()
        first = Muon(one.parameters())
        self.step(first, list(one.parameters()), 0)
        other.load_state_dict(one.state_dict())
        second = Muon(other.parameters())
        second.load_state_dict(deepcopy(first.state_dict()))
        for optimizer, module in ((first, one), (second, other)):
            self.step(optimizer, list(module.parameters()), 1)
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_schedules_and_groups_reach_the_optimizers_inside(self) -> None:
        module = network()
        optimizer = ParameterGroups(["biases", "norms"]).build(module, Muon)
        before = [p.clone() for p in module.parameters()]
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        self.step(optimizer, list(module.parameters()), 0)
        assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
        decays = {name: decay for names, _, decay in groups_of(optimizer, module) for name in names}
        assert decays == {
            "0.weight": 0.01,
            "3.weight": 0.01,
            **dict.fromkeys(["0.bias", "1.weight", "1.bias", "3.bias"], 0.0),
        }


class TwoSteps(torch.optim.SGD):
    """An optimizer that needs the gradient at another place, in the manner of SAM: half a step uphill first."""

    def first_step(self) -> None:
        self.before = [p.detach().clone() for group in self.param_groups for p in group["params"]]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data += 0.05 * parameter.grad

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is not None
        self.first_step()
        with torch.enable_grad():
            closure()
        parameters = [p for group in self.param_groups for p in group["params"]]
        for parameter, before in zip(parameters, self.before, strict=True):
            parameter.data.copy_(before)
        super().step()


@pytest.mark.parametrize("clip", [None, 0.1])
def test_an_optimizer_with_two_passes_gets_the_second_gradient(clip: float | None, tmp_path: Path) -> None:
    data, module = make_data(), make_network()
    plain = deepcopy(module)
    optimizer = TwoSteps(plain.parameters(), lr=0.1)
    assert needs_closure(optimizer)
    classifier = fit(tmp_path, data, module, optimizer=partial(TwoSteps, lr=0.1), gradient_clip_norm=clip)
    for images, labels in batches_by_hand(data, 0):

        def closure(images: Any = images, labels: Any = labels) -> None:
            optimizer.zero_grad()
            F.cross_entropy(plain(images), labels).backward()
            if clip:
                nn.utils.clip_grad_norm_(plain.parameters(), clip)

        closure()
        optimizer.step(closure)
    for a, b in zip(classifier.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_lbfgs_is_the_loop_of_its_documentation(tmp_path: Path) -> None:
    data, module = make_data(), make_network()
    plain = deepcopy(module)
    make = partial(torch.optim.LBFGS, lr=0.1, max_iter=3)
    classifier = fit(tmp_path, data, module, optimizer=make, channels_last=False)
    optimizer = make(plain.parameters())
    for images, labels in batches_by_hand(data, 0):

        def closure(images: Any = images, labels: Any = labels) -> torch.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(plain(images), labels)
            loss.backward()
            return loss

        optimizer.step(closure)
    for a, b in zip(classifier.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_an_optimizer_with_a_closure_accumulates_no_batches(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"TwoSteps computes gradients in its step.*\n.*accumulate_grad_batches=1"):
        fit(tmp_path, make_data(), make_network(), optimizer=partial(TwoSteps, lr=0.1), accumulate_grad_batches=2)


class Rates(Callback):
    """Write down the learning rate after each epoch."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


class TestSchedulersOfTorch:
    def rates(self, folder: Path, scheduler: Any, **settings: Any) -> list[float]:
        rates = Rates()
        fit(folder, make_data(), make_network(), epochs=4, callbacks=[rates], scheduler=scheduler, **settings)
        return rates.rates

    def test_a_scheduler_with_a_total_number_of_steps_is_stepped_each_step(self) -> None:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        schedule = Schedule(partial(OneCycleLR, max_lr=0.5), optimizer, total_steps=10, steps_per_epoch=5)
        for _ in range(3):
            optimizer.step()
            schedule.step()
        assert optimizer.param_groups[0]["lr"] > 0.4  # near the peak after three tenths
        by_epoch = Schedule(partial(OneCycleLR, max_lr=0.5), optimizer, 10, 5, interval="epoch")
        assert by_epoch.scheduler.total_steps == 2  # type: ignore[attr-defined]

    def test_a_rate_for_all_groups_keeps_their_proportions(self) -> None:
        weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
        optimizer = torch.optim.SGD([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.01}], lr=0.1)
        schedule = Schedule(partial(OneCycleLR, max_lr=0.5), optimizer, total_steps=10, steps_per_epoch=5)
        for _ in range(5):
            assert optimizer.param_groups[1]["lr"] == pytest.approx(optimizer.param_groups[0]["lr"] / 10)
            optimizer.step()
            schedule.step()

    def test_by_epoch(self, tmp_path: Path) -> None:
        rates = self.rates(tmp_path, partial(StepLR, step_size=2, gamma=0.1))
        assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05])

    def test_by_step(self, tmp_path: Path) -> None:
        """Five steps an epoch: the rate is halved after every fifth."""
        rates = self.rates(tmp_path, partial(StepLR, step_size=5, gamma=0.5), scheduler_interval="step")
        assert rates == pytest.approx([0.5, 0.25, 0.125, 0.0625])

    def test_by_metric(self, tmp_path: Path) -> None:
        """The learning rate itself never gets better than in the first epoch, so that it falls after each other one."""
        plateau = partial(ReduceLROnPlateau, factor=0.5, patience=0, threshold=2.0, threshold_mode="abs")
        assert self.rates(tmp_path, plateau, scheduler_monitor="lr") == pytest.approx([0.5, 0.5, 0.25, 0.125])

    def test_its_length_is_that_of_the_run(self, tmp_path: Path) -> None:
        rates = self.rates(tmp_path, partial(OneCycleLR, max_lr=1.0, pct_start=0.5), scheduler_interval="step")
        assert rates[0] == pytest.approx(1.0 / 25)
        assert max(rates) > 0.9
        assert len(rates) == 4
