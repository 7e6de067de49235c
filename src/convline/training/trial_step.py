"""Compute the loss and the metrics of two images before training, so that what cannot work fails early."""

import copy
import warnings

import torch
from torch import Tensor

from convline.data.datamodule import DataModule
from convline.errors import UserError
from convline.formatting import first_line
from convline.training.classifier import Classifier
from convline.training.metrics import computed, of_this_process, probabilities


def check_step(classifier: Classifier, data: DataModule) -> None:
    """Check that loss and metrics can be computed; neither weights nor random states change.

    Args:
        classifier: the classifier, on the host.
        data: the data, which have been read.
    Raises:
        UserError: they cannot, or the loss is no mean over the images.
    """
    if len(data.train_labels) < 2:  # a foreign data module states no labels
        return
    targets = data.train_labels[data.train_indices[:2]]
    # a copy, because the forward pass changes the running statistics of batch norm
    network = copy.deepcopy(classifier.network).to(torch.float32)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metrics, about classes that two images do not have
        logits = network.train()(torch.rand(2, *data.input_shape))
        if not isinstance(logits, Tensor):
            raise UserError(
                f"the network gives a {type(logits).__name__} in training; it must give the logits alone.\n"
                "  A network with auxiliary outputs often has a setting for that, such as model.aux_logits=false."
            )
        _check_loss(classifier, logits, targets)
        _check_metrics(classifier, logits.detach(), targets)


def _check_loss(classifier: Classifier, logits: Tensor, targets: Tensor) -> None:
    try:
        loss = classifier.training_loss(logits, targets)
        twice = classifier.training_loss(torch.cat([logits, logits]), torch.cat([targets, targets]))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"the loss cannot be computed of logits {tuple(logits.shape)} and targets {tuple(targets.shape)} "
            f"({targets.dtype}): {first_line(error)}\n  Type another: loss=cross_entropy, or look at docs/extend.md"
        ) from error
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise UserError(
            f"the loss gives {what}; it must give one number with a gradient, the mean over the images.\n"
            "  Type loss.reduction=mean, if it has that setting."
        )
    if loss.item() and torch.isclose(twice, 2 * loss, rtol=1e-3).all():
        raise UserError(
            "the loss is summed over the images; it must be their mean, which curves and metrics show.\n"
            "  Type loss.reduction=mean; for the gradient of the sum, classifier.loss_reduction=sum"
        )


def _check_metrics(classifier: Classifier, logits: Tensor, targets: Tensor) -> None:
    if not classifier.metrics:
        return
    try:
        classifier.metrics.update(probabilities(logits, classifier.is_multilabel), targets.long())
        with of_this_process(classifier.metrics):
            computed(classifier.metrics)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the metrics cannot be measured: {first_line(error)}\n  Look at metrics=[…]") from error
    finally:
        classifier.metrics.reset()
