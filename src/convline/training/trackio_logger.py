"""Log to Trackio, which keeps runs in a local database and shows them in its own dashboard (a Lightning logger)."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only


class TrackioLogger(Logger):
    """Log metrics, settings and images of a run to Trackio, which has no Lightning logger of its own.

    A run of the same project and name goes on.

    Args:
        project: name of the project.
        name: name of the run; None lets Trackio choose one.
        save_dir: not used; Trackio writes to $TRACKIO_DIR, or else to its own cache folder.
        arguments: further arguments of `trackio.init`, such as `space_id`.
    """

    def __init__(self, project: str, name: str | None = None, save_dir: str | None = None, **arguments: Any) -> None:
        super().__init__()
        self._project, self._name, self._arguments = project, name, arguments
        self._config: dict[str, Any] = {}
        self._run: Any = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Return the run of Trackio; it begins at the first use."""
        if self._run is None:
            import trackio

            self._run = trackio.init(
                self._project, self._name, config=self._config, resume="allow", embed=False, **self._arguments
            )
        return self._run

    @property
    def name(self) -> str:
        """Return the name of the project."""
        return self._project

    @property
    def version(self) -> str:
        """Return the name of the run."""
        return str(self.experiment.name)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Keep the settings for the beginning of the run, which takes them."""
        self._config = dict(params if isinstance(params, Mapping) else vars(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log metrics at an optimizer step."""
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[str | Path]) -> None:
        """Log image files under one name."""
        import trackio

        for image in images:
            self.experiment.log({key: trackio.Image(str(image))})

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left to the database, and end the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None
