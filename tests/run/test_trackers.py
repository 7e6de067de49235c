"""Weights & Biases and Comet offline, Trackio, MLflow in a local database and on a server: what a run leaves there."""

import json
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from support.commands import run_dirs, shell, train, wait_for
from support.services import free_port, program

FIGURES = "convline.callbacks.figures.Pictures, at_end: [confusion_matrix], at_epochs: [], times: 1"
SHORT = [
    "callbacks=plain",
    f"+callbacks.pictures={{_target_: {FIGURES}}}",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "data.per_class=20",
]
mlflow = pytest.importorskip("mlflow")
wandb = pytest.importorskip("wandb")
comet_ml = pytest.importorskip("comet_ml")
pytest.importorskip("trackio")
KILL = "+callbacks.kill={_target_: support.kill_at.KillAt, step: 9, signum: 15}"


class TestMlflow:
    @pytest.fixture(autouse=True)
    def no_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def runs(self, folder: Path) -> list[Any]:
        client = mlflow.MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("convline")
        assert experiment is not None
        return client.search_runs([experiment.experiment_id])

    @pytest.mark.slow
    def test_a_run_has_config_curves_test_metrics_figures_and_status(self, tmp_path: Path) -> None:
        done = train(tmp_path, "logger=mlflow", "optimizer.lr=0.03", *SHORT)
        assert done.status == 0, done.err
        (run,) = self.runs(tmp_path)
        (run_dir,) = run_dirs(tmp_path)
        metrics = json.loads((run_dir / "summary.json").read_text())["metrics"]
        assert run.info.status == "FINISHED"
        assert run.info.run_name == run_dir.name
        assert run.data.params["optimizer/lr"] == "0.03"
        assert run.data.metrics["test/acc"] == pytest.approx(metrics["test/acc"])
        client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
        curve = client.get_metric_history(run.info.run_id, "train/loss")
        assert len(curve) == 2

    @pytest.mark.slow
    def test_each_job_of_a_sweep_is_a_run_and_a_failed_one_is_failed(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", "logger=mlflow", "optimizer.lr=0.03,1e9", *SHORT)
        assert sorted(run.info.status for run in self.runs(tmp_path)) == ["FAILED", "FINISHED"]

    @pytest.mark.slow
    def test_a_resumed_run_goes_on_in_the_same_run(self, tmp_path: Path) -> None:
        stopped = train(tmp_path, "logger=mlflow", KILL, *SHORT)
        assert stopped.status == 143, stopped.err
        (run,) = self.runs(tmp_path)
        assert run.info.status == "FAILED"
        (run_dir,) = run_dirs(tmp_path)
        assert train(tmp_path, f"resume={run_dir}").status == 0
        (again,) = self.runs(tmp_path)
        assert again.info.run_id == run.info.run_id
        assert again.info.status == "FINISHED"

    @pytest.mark.slow
    def test_a_server_gets_all_of_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server on the loopback, which keeps the figures itself."""
        url = f"http://127.0.0.1:{free_port()}"
        stores = [
            "--backend-store-uri",
            f"sqlite:///{tmp_path}/server.db",
            "--artifacts-destination",
            f"{tmp_path}/kept",
        ]
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--port",
            url.rpartition(":")[2],
            "--workers",
            "1",
            *stores,
        ]

        def answers() -> bool:
            try:
                return urllib.request.urlopen(f"{url}/health", timeout=1).status == 200
            except OSError:
                return False

        with program(*command, folder=tmp_path, environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}):
            wait_for(answers, f"server of MLflow; see {tmp_path}")
            monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
            done = train(tmp_path, "logger=mlflow", "optimizer.lr=0.03", *SHORT)
            assert done.status == 0, done.err
            client = mlflow.MlflowClient(url)
            (run,) = client.search_runs([client.get_experiment_by_name("convline").experiment_id])
            assert (run.info.status, run.data.params["optimizer/lr"]) == ("FINISHED", "0.03")
            assert "test/acc" in run.data.metrics
            assert [file.path for file in client.list_artifacts(run.info.run_id, "pictures")] == [
                "pictures/confusion_matrix.png"
            ]
        assert list((tmp_path / "kept").rglob("confusion_matrix.png"))


@pytest.mark.slow
class TestTrackio:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))

    @staticmethod
    def runs(tmp_path: Path) -> dict[str, Any]:
        """Settings and log entries of each run, read by Trackio in a process of its own."""
        code = """
import json
from trackio.sqlite_storage import SQLiteStorage
runs = SQLiteStorage.get_runs("convline")
print(json.dumps({run: [SQLiteStorage.get_run_config("convline", run), SQLiteStorage.get_logs("convline", run)]
                  for run in runs}))
"""
        return json.loads(shell(sys.executable, "-c", code, cwd=tmp_path).out)

    def test_a_run_has_config_curves_test_metrics_figures_and_status(self, tmp_path: Path) -> None:
        done = train(tmp_path, "logger=trackio", "optimizer.lr=0.03", *SHORT)
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        ((name, (config, entries)),) = self.runs(tmp_path).items()
        assert name == run_dir.name
        assert config["optimizer"]["lr"] == 0.03
        metrics = {key: value for entry in entries for key, value in entry.items()}
        assert len([entry for entry in entries if "train/loss" in entry]) == 2
        summary = json.loads((run_dir / "summary.json").read_text())
        assert metrics["test/acc"] == pytest.approx(summary["metrics"]["test/acc"])
        assert metrics["status"] == "finished"
        assert metrics["pictures/confusion_matrix"]["_type"] == "trackio.image"

    @pytest.mark.slow
    def test_each_job_is_a_run_and_a_resumed_run_goes_on_in_its_own(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", "logger=trackio", "seed=0,1", *SHORT)
        assert len(self.runs(tmp_path)) == 2
        assert train(tmp_path / "again", "logger=trackio", KILL, *SHORT).status == 143
        (run_dir,) = run_dirs(tmp_path / "again")
        assert train(tmp_path, f"resume={run_dir}").status == 0
        runs = self.runs(tmp_path)
        assert len(runs) == 3
        statuses = [entry["status"] for entry in runs[run_dir.name][1] if "status" in entry]
        assert statuses == ["interrupted", "finished"]


@pytest.mark.slow
class TestComet:
    @pytest.fixture(autouse=True)
    def offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COMET_START_ONLINE", "0")

    @staticmethod
    def messages(archive: Path) -> list[tuple[str, dict[str, Any]]]:
        """Kind and content of what an offline experiment would upload."""
        with zipfile.ZipFile(archive) as file:
            lines = [json.loads(line) for line in file.read("messages.json").splitlines()]
        return [(line["type"], line["payload"]) for line in lines]

    def test_a_run_has_config_curves_test_metrics_figures_and_status(self, tmp_path: Path) -> None:
        done = train(tmp_path, "logger=comet", "optimizer.lr=0.03", *SHORT)
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        metrics = json.loads((run_dir / "summary.json").read_text())["metrics"]
        (archive,) = run_dir.glob("comet/*/*.zip")
        messages = self.messages(archive)
        sent = [m["param"] for kind, m in messages if kind == "parameter_msg" and "param" in m]
        parameters = {parameter["paramName"]: parameter["paramValue"] for parameter in sent}
        assert parameters["optimizer|lr"] == 0.03
        values = [
            (m["metric"]["metricName"], m["metric"]["metricValue"]) for kind, m in messages if kind == "metric_msg"
        ]
        assert len([value for name, value in values if name == "train/loss"]) == 2
        assert dict(values)["test/acc"] == pytest.approx(metrics["test/acc"])
        others = {m["key"]: m["value"] for kind, m in messages if kind == "log_other"}
        assert (others["status"], others["Name"]) == ("finished", run_dir.name)
        uploads = [m["additional_params"] for _, m in messages if "additional_params" in m]
        assert [upload["figName"] for upload in uploads if "figName" in upload] == ["pictures/confusion_matrix"]
        assert not [upload for upload in uploads if upload.get("type") == "source_code"]

    @pytest.mark.slow
    def test_a_failed_job_of_a_sweep_and_the_next_are_experiments_of_their_own(self, tmp_path: Path) -> None:
        train(tmp_path, "-m", "logger=comet", "optimizer.lr=1e9,0.03", *SHORT)
        keys, statuses = set(), []
        for run_dir in run_dirs(tmp_path):
            (archive,) = run_dir.glob("comet/*/*.zip")
            keys.add(archive.name.partition("-")[0])
            statuses += [
                m["value"] for kind, m in self.messages(archive) if kind == "log_other" and m["key"] == "status"
            ]
        assert len(keys) == 2
        assert sorted(statuses) == ["failed", "finished"]

    @pytest.mark.slow
    def test_a_resumed_run_goes_on_in_the_same_experiment(self, tmp_path: Path) -> None:
        """Offline it is a second archive with the same key, which `comet upload` adds to the experiment."""
        assert train(tmp_path, "logger=comet", KILL, *SHORT).status == 143
        (run_dir,) = run_dirs(tmp_path)
        assert train(tmp_path, f"resume={run_dir}").status == 0
        archives = list(run_dir.glob("comet/*/*.zip"))
        assert len(archives) == 2
        assert {path.name.partition("-")[0] for path in archives} == {
            json.loads((run_dir / "summary.json").read_text())["trackers"]["comet"]
        }


class TestWandb:
    @pytest.fixture(autouse=True)
    def offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_SILENT", "true")

    @staticmethod
    def records(folder: Path) -> list[Any]:
        """The records of the one offline run in a run directory: LevelDB's log format, after a header of 7 bytes."""
        from wandb.proto import wandb_internal_pb2

        (file,) = folder.rglob("run-*.wandb")
        data, position, content, records = file.read_bytes(), 7, b"", []
        while position < len(data):
            left_in_block = 32768 - position % 32768
            if left_in_block < 7:
                position += left_in_block
                continue
            length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
            content += data[position + 7 : position + 7 + length]
            position += 7 + length
            if kind in (1, 4):  # a whole record, or the last part of one
                records.append(wandb_internal_pb2.Record.FromString(content))
                content = b""
        return records

    def test_a_run_has_config_curves_test_metrics_figures_and_status(self, tmp_path: Path) -> None:
        done = train(tmp_path, "logger=wandb", "optimizer.lr=0.03", *SHORT)
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        metrics = json.loads((run_dir / "summary.json").read_text())["metrics"]
        records = self.records(run_dir)
        updates = [item for r in records for item in (*r.config.update, *r.run.config.update)]
        config = {item.key or "/".join(item.nested_key): item.value_json for item in updates}
        assert json.loads(config["optimizer"])["lr"] == 0.03
        history = [
            {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in r.history.item}
            for r in records
            if r.HasField("history")
        ]
        assert len([row for row in history if "train/loss" in row]) == 2
        assert any(row.get("test/acc") == pytest.approx(metrics["test/acc"]) for row in history)
        assert any(r.HasField("exit") and r.exit.exit_code == 0 for r in records)
        assert list(run_dir.rglob("media/images/pictures/confusion_matrix*.png"))

    @pytest.mark.slow
    def test_each_job_of_a_sweep_is_a_run(self, tmp_path: Path) -> None:
        done = train(tmp_path, "-m", "logger=wandb", "seed=0,1", *SHORT)
        assert done.status == 0, done.err
        ids = {json.loads((path / "summary.json").read_text())["trackers"]["wandb"] for path in run_dirs(tmp_path)}
        assert len(ids) == 2
        for path in run_dirs(tmp_path):
            assert len(list(path.rglob("run-*.wandb"))) == 1
