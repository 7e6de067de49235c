"""Average the weights of a network over the optimizer steps, with a decay that begins small."""

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def decay_of_update(decay: float, num_updates: int) -> float:
    """Return the decay of an update after n earlier ones: min(decay, (1 + n) / (10 + n)).

    A constant decay of 0.999 would leave 82 % of an average over 200 steps to the weights of the first step. With this
    start less than 5 % is left of them after the third step.

    Source: TensorFlow, `tf.train.ExponentialMovingAverage` with `num_updates`.
    """
    return min(decay, (1 + num_updates) / (10 + num_updates))


def exponential_average(network: nn.Module, decay: float) -> AveragedModel:
    """Make the exponential moving average of a network's weights and buffers.

    Args:
        network: the trained network, which is copied.
        decay: decay per update, of which `decay_of_update` makes that of the first ones.
    """

    def update(averages: Any, currents: Any, num_updates: Any) -> None:
        get_ema_multi_avg_fn(decay_of_update(decay, int(num_updates)))(averages, currents, num_updates)

    average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    return average.requires_grad_(False)  # else several ranks would wait for gradients of the average
