"""What the classifier does when a number is not one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convline.callbacks.checkpoint import BestAndLast
from convline.training.classifier import NotFiniteLossError
from support.fitting import fit, make_data, make_network


class BreakAt(nn.Module):
    """A network whose logits or gradients are not numbers in one forward pass of the training.

    Args:
        call: number of that pass, from 1.
        what: the loss that comes of it, "nan" or "inf", or "gradient".
    """

    def __init__(self, call: int, what: str) -> None:
        super().__init__()
        self.inner, self.call, self.what, self.calls = make_network(), call, what, 0

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        self.calls += self.training
        if not self.training or self.calls != self.call:
            return logits
        if self.what == "gradient":  # √x is 0 at 0, but infinitely steep
            return logits + 0 * (logits - logits.detach()).sqrt()
        if self.what == "inf":  # the first class is impossible, though some image is of it
            return logits + torch.tensor([-torch.inf, 0.0, 0.0])
        return logits * torch.nan


def saved_values(folder: Path) -> list[Tensor]:
    files = (folder / "checkpoints").glob("*.ckpt")
    return [value for f in files for value in torch.load(f, weights_only=True)["state_dict"].values()]


@pytest.mark.parametrize("what", ["nan", "inf"])
@pytest.mark.parametrize(
    ("call", "steps_per_execution", "accumulate", "where"),
    [
        (1, 1, 1, "batch 1 of epoch 1"),
        (4, 1, 1, "batch 4 of epoch 1"),
        (5, 3, 1, "batch 5 of epoch 1"),
        (7, 3, 1, "batch 2 of epoch 2"),
        (10, 16, 1, "batch 5 of epoch 2"),
        (3, 2, 2, "batch 3 of epoch 1"),
        (10, 4, 2, "batch 5 of epoch 2"),
    ],
)
def test_a_loss_that_is_no_number_stops_the_run_and_names_its_batch(
    call: int, steps_per_execution: int, accumulate: int, where: str, what: str, tmp_path: Path
) -> None:
    keeper = BestAndLast("val/acc", every_n_steps=1)
    network = BreakAt(call, what)
    with pytest.raises(NotFiniteLossError, match=f"became {what} in {where}") as caught:
        fit(
            tmp_path,
            make_data(steps_per_execution=steps_per_execution),
            network,
            2,
            [keeper],
            accumulate_grad_batches=accumulate,
        )
    assert "optimizer.lr=" in str(caught.value)
    assert network.calls < call + steps_per_execution
    saved = saved_values(tmp_path)
    assert all(value.isfinite().all() for value in saved)
    assert bool(saved) == (call > min(steps_per_execution, 5))  # five batches an epoch


@pytest.mark.parametrize("every_n_steps", [None, 1], ids=["saved each epoch", "saved each step"])
@pytest.mark.parametrize("call", [3, 5, 10], ids=["within an epoch", "at an epoch's end", "at the very end"])
def test_weights_that_are_no_numbers_stop_the_run_and_are_not_saved(
    call: int, every_n_steps: int | None, tmp_path: Path
) -> None:
    """A gradient can overflow though the loss did not; the loss tells only in the batch after it."""
    keeper = BestAndLast("val/acc", every_n_steps)
    with pytest.raises(NotFiniteLossError):
        fit(tmp_path, make_data(), BreakAt(call, "gradient"), 2, [keeper])
    assert all(value.isfinite().all() for value in saved_values(tmp_path))
