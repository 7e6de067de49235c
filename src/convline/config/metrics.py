"""Name the metrics of a run, and say which direction is better; no torch, so that reports know it too.

Loss and accuracy are measured in every run. The setting `metrics` adds others, by their names in `METRICS` or by
`_target_`; each is then a curve `val/NAME`, and `test/NAME` at the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from convline.errors import UserError
from convline.formatting import nearest

MULTICLASS = "torchmetrics.classification.Multiclass"
MULTILABEL = "torchmetrics.classification.Multilabel"


@dataclass(frozen=True)
class Metric:
    """Describe a metric.

    Args:
        target: class of torchmetrics; it gets the number of classes too. "" if it is not defined for images with one
            label each.
        arguments: its further arguments.
        lower_is_better: whether a lower value is better.
        is_share: whether it is a share, which is shown in per cent.
        multilabel_target: class of torchmetrics for multi-label images; "" if it is not defined for them.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    lower_is_better: bool = False
    is_share: bool = True
    multilabel_target: str = ""


METRICS: dict[str, Metric] = {
    "acc": Metric(""),  # measured in every run, as is the loss
    "loss": Metric("", lower_is_better=True, is_share=False),
    "top5": Metric(f"{MULTICLASS}Accuracy", {"top_k": 5, "average": "micro"}),
    "balanced_acc": Metric(f"{MULTICLASS}Accuracy", {"average": "macro"}),  # mean over classes
    **{
        name: Metric(f"{MULTICLASS}{metric}", {"average": "macro"}, multilabel_target=f"{MULTILABEL}{metric}")
        for name, metric in (
            ("precision", "Precision"),
            ("recall", "Recall"),
            ("f1", "F1Score"),
            ("auroc", "AUROC"),
            ("map", "AveragePrecision"),  # mean average precision
        )
    },
    "exact_match": Metric("", multilabel_target=f"{MULTILABEL}ExactMatch"),  # all labels of an image
    "kappa": Metric(f"{MULTICLASS}CohenKappa", is_share=False),
    "ece": Metric(f"{MULTICLASS}CalibrationError", {"n_bins": 15, "norm": "l1"}, lower_is_better=True),
}
ALWAYS = ("acc", "loss")
_foreign: dict[str, Metric] = {}  # those of `_target_`, from the configs that this process has read


def declare(entries: Iterable[Any]) -> list[str]:
    """Read the setting `metrics`, remember the directions of foreign metrics, and return the names without `ALWAYS`.

    Args:
        entries: names, or mappings with `_target_`, `name` and perhaps `lower_is_better`.
    Raises:
        UserError: a name is unknown or occurs twice.
    """
    names: list[str] = []
    for entry in entries:
        if isinstance(entry, Mapping):
            if "_target_" not in entry:
                raise UserError(
                    f"metrics={dict(entry)} names no class: 'metrics=[{{_target_: PACKAGE.CLASS, name: NAME}}]'"
                )
            name = metric_name(entry)
            if name in ALWAYS or name in METRICS:
                raise UserError(f"metrics: {name} is the name of a metric of Convline; give yours another: name: NAME.")
            _foreign[name] = Metric(str(entry["_target_"]), {}, bool(entry.get("lower_is_better", False)), False)
        elif isinstance(entry, str) and entry in METRICS:
            name = str(entry)
        else:
            raise UserError(
                f"metrics={entry}: there is no such metric{nearest(str(entry), METRICS)}.\n"
                f"  Metrics: {', '.join(METRICS)}, or one of your own: "
                "'metrics=[{_target_: PACKAGE.CLASS, name: NAME}]'"
            )
        if name in names:
            raise UserError(f"metrics has {name} twice: give one of them another name.")
        names.append(name)
    return [name for name in names if name not in ALWAYS]


def entries_of(cfg: DictConfig) -> list[Any]:
    """Return the setting `metrics` of a config; runs of version 0.1 have none."""
    entries: Any = OmegaConf.to_container(cfg.metrics, resolve=True) if cfg.get("metrics") else []
    return entries


def metric_name(entry: Mapping[str, Any]) -> str:
    """Return the name of a foreign metric: `name`, or the last part of its `_target_` in lower case."""
    return str(entry.get("name") or str(entry["_target_"]).rpartition(".")[2].lower())


def lower_is_better(metric: str) -> bool:
    """Return whether a lower value of a metric such as "val/ece" is better."""
    found = _find(metric)
    return found.lower_is_better if found else False


def is_share(metric: str) -> bool:
    """Return whether a metric such as "val/acc" is a share, which is shown in per cent."""
    found = _find(metric)
    return found.is_share if found else False


def _find(metric: str) -> Metric | None:
    name = metric.rpartition("/")[2].removesuffix("_tta").removesuffix("_step")
    return METRICS.get(name) or _foreign.get(name)


def monitors(names: Sequence[str]) -> list[str]:
    """Return the metrics that a checkpoint, early stopping or a search may watch.

    Args:
        names: the names that `declare` has returned.
    """
    return [*(f"val/{name}" for name in (*ALWAYS, *names)), *(f"train/{name}" for name in ALWAYS)]
