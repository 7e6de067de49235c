"""Every network of the zoo for small images is trained by the real command on a batch of real MNIST and CIFAR-10."""

import json
from pathlib import Path

import pytest

from support.commands import ROOT, Running, run_dirs

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_every_network_trains(data: str, tmp_path: Path, data_root: Path) -> None:
    words = [f"model={','.join(MODELS)}", f"data={data}", f"data.root={data_root}", "trainer.max_epochs=1"]
    few = ["trainer=one_batch", "data.batch_size=4", "data.eval_batch_size=4", "trainer.accelerator=cpu"]
    done = Running(["-m", *few, *words, "callbacks=plain"], tmp_path).wait(240)
    assert done.status == 0, done.err
    summaries = [json.loads((run_dir / "summary.json").read_text()) for run_dir in run_dirs(tmp_path)]
    assert sorted(summary["choices"]["model"] for summary in summaries) == MODELS
    assert {summary["status"] for summary in summaries} == {"finished"}
