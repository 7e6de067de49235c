"""The kinds of runs and sweeps that are killed."""

from dataclasses import dataclass

SMALL = (
    "data=synthetic",
    "data.source.num_train=200",
    "data.source.num_test=40",
    "data.source.noise=0.6",
    "data.batch_size=20",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
    "callbacks=plain",
    "callbacks.progress=null",
    "threads=1",
    'model.pattern="CONV(4) -> BATCHNORM -> RELU -> POOL -> DROPOUT(0.3) -> FC(8) -> RELU -> FC"',
)
GRID = ("-m", *SMALL, "optimizer.lr=0.1,0.01", "seed=0,1")
SEARCH = (
    "-m",
    "hydra/sweeper=search",
    *SMALL,
    "optimizer.lr=interval(0.001,0.3)",
    "sweep.trials=4",
)


@dataclass(frozen=True)
class Kind:
    """Describe a kind of runs or sweeps.

    Args:
        words: arguments of the command.
        weight: how often it is killed, relative to the others.
        is_exact: whether the weights are compared; not where the order of the work is free.
        has_children: whether other processes do the work.
        num_runs: runs that it has.
    """

    words: tuple[str, ...]
    weight: int = 4
    is_exact: bool = True
    has_children: bool = False
    num_runs: int = 1

    @property
    def is_sweep(self) -> bool:
        """Return whether the command has many runs."""
        return "-m" in self.words


KINDS = {
    "plain run": Kind(SMALL, 8),
    "checkpoints within epochs": Kind((*SMALL, "callbacks.checkpoint.every_n_steps=2", "steps_per_execution=2"), 6),
    "streaming loader": Kind((*SMALL, "data.loader=dataloader", "data.num_workers=2", "steps_per_execution=2"), 6),
    "weight averaging": Kind(
        (*SMALL, "classifier.ema_decay=0.9", "classifier.accumulate_grad_batches=2", "optimizer=adamw"), 4
    ),
    "resume=auto": Kind((*SMALL, "resume=auto", "steps_per_execution=2"), 4),
    "pictures": Kind((*SMALL, "callbacks=default", "callbacks.progress=null"), 1),
    "compiled": Kind((*SMALL, "compile=true"), 0),
    "two ranks": Kind((*SMALL, "trainer=ddp"), 1, has_children=True),
    "grid": Kind(GRID, 5, num_runs=4),
    "grid, two workers": Kind((*GRID, "workers=2"), 2, has_children=True, num_runs=4),
    "search": Kind(SEARCH, 3, num_runs=4),
    "search, two workers": Kind((*SEARCH, "workers=2"), 1, is_exact=False, has_children=True, num_runs=4),
    "search with pruning": Kind((*SEARCH, "sweep/pruner=median"), 2, num_runs=4),
}
