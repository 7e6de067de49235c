"""Group parameters for an optimizer, and optimize weight matrices with Muon.

A group is a part of the parameters with settings of its own, such as no weight decay on biases.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase  # private since 1.x, the base of batch and instance norm in torch 2.15
from torch.optim import Optimizer

from convline.errors import UserError
from convline.formatting import nearest

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
MakeOptimizer = Callable[[Any], Optimizer]


@dataclass(frozen=True)
class ParameterGroups:
    """Divide the parameters of a network into groups.

    Args:
        no_decay: kinds of parameters without weight decay: "biases", "norms" (weights and biases of normalization).
        layer_decay: factor of the learning rate from each layer with parameters to the one before it; the last layer
            keeps the full rate. Source: Bao, Dong, Piao & Wei, "BEiT", ICLR 2022.
        groups: settings by a pattern of parameter names, such as `{"fc*": {"lr": 0.01}, "conv1.*": {"frozen": True}}`;
            of several patterns that match a name, the last one counts.
    """

    no_decay: Sequence[str] = ()
    layer_decay: float | None = None
    groups: Mapping[str, Mapping[str, Any]] | None = None

    def build(self, network: nn.Module, make_optimizer: MakeOptimizer) -> Optimizer:
        """Build an optimizer of the network's parameters in their groups; frozen ones lose their gradient.

        Raises:
            UserError: a pattern matches no parameter, or a setting of a group is none of the optimizer's.
        """
        self._check_patterns([name for name, _ in network.named_parameters()])
        groups, scales = self._divide(network)
        if not groups:
            raise UserError("no parameter of the network is trained: take a pattern out of optimizer.groups.")
        settings = {key for group in groups for key in group} - {"params"}  # before an optimizer adds its own
        has_settings = bool(settings)
        is_plain = len(groups) == 1 and not has_settings
        try:
            optimizer = make_optimizer(groups[0]["params"] if is_plain else groups)
        # a RuntimeError is torch's, of arguments that exclude each other
        except (TypeError, ValueError, RuntimeError) as error:
            advice = "" if is_plain else "\n  If it takes no groups, leave optimizer.no_decay, layer_decay, groups out."
            raise UserError(f"the optimizer cannot be made as it is configured: {error}{advice}") from error
        inner = getattr(optimizer, "base_optimizer", None)  # of SAM
        known = {**optimizer.defaults, **(inner.defaults if isinstance(inner, Optimizer) else {})}
        for key in settings - set(known):
            raise UserError(
                f"optimizer.groups: {type(optimizer).__name__} has no setting {key}{nearest(key, [*known, 'frozen'])}."
            )
        if isinstance(optimizer, torch.optim.LBFGS) and not all(p.is_contiguous() for p in network.parameters()):
            raise UserError("LBFGS takes gradients as one vector: type channels_last=false.")
        if set(scales.values()) != {1.0}:
            for group in optimizer.param_groups:  # Muon divides the groups further
                group["lr"] *= scales[group["params"][0]]
        return optimizer

    def _divide(self, network: nn.Module) -> tuple[list[dict[str, Any]], dict[Tensor, float]]:
        """Return the groups of the trained parameters, and the factor of each parameter's learning rate."""
        depths = _layer_indices(network)
        groups: dict[str, dict[str, Any]] = {}  # by their settings, in the order of the first parameter
        scales: dict[Tensor, float] = {}
        for name, parameter in network.named_parameters():
            settings = self._settings(name, network)
            if settings.pop("frozen", False):
                parameter.requires_grad_(False)
            if not parameter.requires_grad:
                continue
            scale = 1.0 if self.layer_decay is None else self.layer_decay ** (max(depths.values()) - depths[name])
            groups.setdefault(repr((settings, scale)), {"params": [], **settings})["params"].append(parameter)
            scales[parameter] = scale
        return list(groups.values()), scales

    def _settings(self, name: str, network: nn.Module) -> dict[str, Any]:
        owner = network.get_submodule(name.rpartition(".")[0])
        is_norm, is_bias = isinstance(owner, NORMS), name.rpartition(".")[2] == "bias"
        settings: dict[str, Any] = {}
        if (is_norm and "norms" in self.no_decay) or (is_bias and not is_norm and "biases" in self.no_decay):
            settings["weight_decay"] = 0.0
        for pattern, own in (self.groups or {}).items():
            if fnmatchcase(name, pattern):
                settings |= own
        return settings

    def _check_patterns(self, names: Sequence[str]) -> None:
        for pattern, own in (self.groups or {}).items():
            rate = own.get("lr", 1.0) if isinstance(own, Mapping) else None
            if not (isinstance(rate, int | float) and 0 < rate < math.inf):
                raise UserError(
                    f"optimizer.groups: '{pattern}' has {own}; it must be settings, with a learning rate above 0.\n"
                    f"  Type: 'optimizer.groups={{{pattern}: {{lr: 0.01}}}}'"
                )
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UserError(
                    f"optimizer.groups: no parameter has a name like '{pattern}'{nearest(pattern, names)}.\n"
                    f"  Parameters: {', '.join(names)}"
                )


def _layer_indices(network: nn.Module) -> dict[str, int]:
    """Return the index of each parameter's layer among the layers with parameters, in their order of definition."""
    owners = [name.rpartition(".")[0] for name, _ in network.named_parameters()]
    index_of = {owner: index for index, owner in enumerate(dict.fromkeys(owners))}
    return {name: index_of[name.rpartition(".")[0]] for name, _ in network.named_parameters()}


def needs_closure(optimizer: Optimizer) -> bool:
    """Return whether `step` computes gradients itself, by a function that it is given: LBFGS, SAM."""
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    is_required = closure is not None and closure.default is inspect.Parameter.empty
    return is_required or hasattr(optimizer, "first_step")  # the two passes of Foret et al., "SAM", ICLR 2021


def torch_optimizer(name: str) -> type[Optimizer]:
    """Return a class of torch.optim, for optimizers that wrap another one.

    Raises:
        UserError: torch.optim has no optimizer of this name.
    """
    found = getattr(torch.optim, name, None)
    if not (isinstance(found, type) and issubclass(found, Optimizer)):
        raise UserError(f"torch.optim has no optimizer {name}{nearest(name, dir(torch.optim))}.")
    return found


class Muon(Optimizer):
    """Optimize weight matrices and convolutions by Muon, and all other parameters by AdamW.

    The other parameters are the biases, the weights of normalization, and the last weight matrix, which computes the
    logits. A convolution's weight filters×channels×height×width is a matrix of filters×(channels·height·width).
    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; it is torch.optim.Muon.

    Args:
        params: parameters, or groups of them with settings of their own.
        lr, momentum, weight_decay, nesterov: of Muon; `lr` is for updates scaled as those of AdamW.
        rest_lr, rest_betas, rest_weight_decay: of AdamW.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        nesterov: bool = True,
        rest_lr: float = 0.001,
        rest_betas: Sequence[float] = (0.9, 0.999),
        rest_weight_decay: float = 0.01,
    ) -> None:
        given = list(params)
        incoming = given if given and isinstance(given[0], dict) else [{"params": given}]
        matrices = [p for group in incoming for p in group["params"] if p.ndim >= 2]
        head = matrices[-1] if matrices else None
        groups = []
        for group in incoming:
            own = {key: value for key, value in group.items() if key != "params"}
            parts: dict[bool, list[Tensor]] = {True: [], False: []}
            for parameter in group["params"]:
                parts[parameter.ndim >= 2 and parameter is not head].append(parameter)
            if parts[True]:
                settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
                groups.append({**settings, **own, "params": parts[True], "is_matrix": True})
            if parts[False]:
                settings = {"lr": rest_lr, "weight_decay": rest_weight_decay}
                groups.append({**settings, **own, "params": parts[False], "is_matrix": False})
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self._flat: list[list[tuple[nn.Parameter, nn.Parameter]]] = []  # a parameter with its matrix, by group
        self._inner: list[Optimizer] = []
        for group in self.param_groups:
            pairs = []
            if group["is_matrix"]:
                pairs = [(p, nn.Parameter(p.detach().flatten(1).clone())) for p in group["params"]]
                weights = [matrix for _, matrix in pairs]
                inner: Optimizer = torch.optim.Muon(weights, nesterov=nesterov, adjust_lr_fn="match_rms_adamw")
            else:
                inner = torch.optim.AdamW(group["params"], betas=(rest_betas[0], rest_betas[1]))
            self._flat.append(pairs)
            self._inner.append(inner)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters from their gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, inner, pairs in zip(self.param_groups, self._inner, self._flat, strict=True):
            for key in ("lr", "weight_decay", "momentum"):  # which a schedule, or the caller, may have changed
                if key in inner.param_groups[0]:
                    inner.param_groups[0][key] = group[key]
            for parameter, matrix in pairs:
                matrix.copy_(parameter.flatten(1))
                matrix.grad = None if parameter.grad is None else parameter.grad.flatten(1)
            inner.step()
            for parameter, matrix in pairs:
                parameter.copy_(matrix.view(parameter.shape))
                matrix.grad = None
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with that of the optimizers inside."""
        return {**super().state_dict(), "inner": [inner.state_dict() for inner in self._inner]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state that `state_dict` returned."""
        state = dict(state_dict)
        for inner, inner_state in zip(self._inner, state.pop("inner"), strict=True):
            inner.load_state_dict(inner_state)
        super().load_state_dict(state)
