"""A run's pictures: drawn at its end and again from its directory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils import tensorboard

from convline import figures
from convline.callbacks.figures import Pictures
from convline.callbacks.tensorboard import add_picture
from convline.commands.figures import save
from convline.errors import UserError
from convline.figures.canvas import png
from convline.records.directory import read_config, read_summary
from convline.training.loaded_run import LoadedRun
from convline.training.setup import build, build_initial_network
from support.commands import SMALL, Done, convline, run_dirs, train
from support.run_files import checkpoint
from support.watched_run import STEPS_PER_EPOCH, WORDS


class TestPictures:
    def test_every_picture_is_a_file_and_in_the_images_tab(self, watched: Path, events: EventAccumulator) -> None:
        for name in figures.BY_NAME:
            content = (watched / "pictures" / f"{name}.png").read_bytes()
            (found,) = events.Images(f"pictures/{name}")
            assert found.encoded_image_string == content
            assert Image.open(watched / "pictures" / f"{name}.png").size == (found.width, found.height)
            assert found.step == 2 * STEPS_PER_EPOCH

    def test_by_epoch(self, events: EventAccumulator) -> None:
        for name in ("filters", "feature_maps"):
            first, last = events.Images(f"by epoch/{name}")
            assert (first.step, last.step) == (34, 68)
            assert first.encoded_image_string != last.encoded_image_string

    @pytest.mark.parametrize("name", figures.BY_NAME)
    def test_drawn_again_from_the_directory_they_are_the_same(self, name: str, watched: Path) -> None:
        assert png(figures.BY_NAME[name](watched)) == (watched / "pictures" / f"{name}.png").read_bytes()

    def test_one_that_cannot_be_drawn_does_not_fail_the_run(self, tmp_path: Path) -> None:
        words = [word for word in WORDS if not word.startswith("model.pattern")]
        done = train(tmp_path, *words, "model=dense", "callbacks.pictures.at_end=[receptive_fields,filters]")
        assert done.status == 0, done.err
        assert "drawing receptive_fields failed: the network has no layer with a window" in done.err
        (run_dir,) = run_dirs(tmp_path)
        assert "Traceback" not in done.err
        assert "Traceback" in (run_dir / "log.txt").read_text()
        assert (run_dir / "pictures" / "filters.png").is_file()

    def test_a_network_of_local_layers_alone(self, tmp_path: Path) -> None:
        words = [word for word in WORDS if not word.startswith("model.pattern")]
        pattern = 'model.pattern="LOCAL(4, 3, 2) -> RELU -> LOCAL(10, 3) -> GAP"'
        done = train(
            tmp_path, *words, pattern, "trainer.max_epochs=1", "callbacks.pictures.at_end=[feature_visualization]"
        )
        assert done.status == 0, done.err
        assert "drawing feature_visualization failed: the network has no convolution and no dense layer" in done.err
        (run_dir,) = run_dirs(tmp_path)
        assert np.loadtxt(run_dir / "projector" / "points.tsv").shape == (60, 4)

    def test_the_figures_after_one_that_fails_are_drawn(
        self, watched: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def draw(run: object) -> None:
            raise ValueError("a bug")

        monkeypatch.setitem(figures.BY_NAME, "filters", draw)
        monkeypatch.setitem(figures.BY_NAME, "feature_maps", lambda run: figures.calibration(watched))
        run = LoadedRun(tmp_path, OmegaConf.create({"debug": False}))
        Pictures(at_end=["filters", "feature_maps"], at_epochs=[], times=1).after_test(run, None, 1)
        assert capsys.readouterr().err == f"drawing filters failed: a bug (traceback: {tmp_path / 'log.txt'})\n"
        assert "in draw\n" in (tmp_path / "log.txt").read_text()
        assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["feature_maps.png"]

    @staticmethod
    def run_without_windows(folder: Path, *words: str) -> Done:
        """Train a dense network, of which receptive fields cannot be drawn."""
        others = [word for word in WORDS if not word.startswith("model.pattern")]
        done = train(folder, *others, "model=dense", *words)
        assert done.status == 0, done.err
        return done

    def test_with_debug_the_traceback_is_on_stderr(self, tmp_path: Path) -> None:
        drawn = "callbacks.pictures.at_end=[receptive_fields]"
        done = self.run_without_windows(tmp_path, "trainer.max_epochs=1", drawn, "debug=true")
        assert "UserError: the network has no layer with a window" in done.err

    def test_a_failure_at_an_epochs_end_does_not_fail_the_run(self, tmp_path: Path) -> None:
        drawn = ["callbacks.pictures.at_end=[]", "callbacks.pictures.at_epochs=[receptive_fields]"]
        done = self.run_without_windows(tmp_path, "trainer.max_epochs=2", *drawn)
        assert "drawing receptive_fields failed: the network has no layer with a window" in done.err

    def test_a_picture_is_added_also_to_an_event_file_that_was_closed(self, watched: Path, tmp_path: Path) -> None:
        content = (watched / "pictures" / "filters.png").read_bytes()
        writer = tensorboard.SummaryWriter(str(tmp_path))
        writer.close()  # as Lightning's logger does after fit
        add_picture(writer, "pictures/filters", content, 3)
        writer.close()
        found = [EventAccumulator(str(path)).Reload() for path in tmp_path.iterdir()]
        (image,) = [
            image for each in found for image in (each.Images("pictures/filters") if each.Tags()["images"] else [])
        ]
        assert (image.step, image.encoded_image_string) == (3, content)

    def test_what_cannot_be_written_does_not_fail_the_run(self, tmp_path: Path) -> None:
        words = [*WORDS, "trainer.max_epochs=1", "callbacks.pictures=null"]
        done = train(tmp_path, *words, "callbacks.projector._target_=support.failing.RaiseAfterTest")
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        assert "callback RaiseAfterTest failed: no space left (traceback: " in done.err
        assert "failing.py" in (run_dir / "log.txt").read_text()
        assert read_summary(run_dir)["status"] == "finished"

    @pytest.mark.slow
    def test_a_run_interrupted_at_its_pictures_is_finished(self, tmp_path: Path) -> None:
        stop = "+callbacks.stop={_target_: support.failing.SignalAfterTest, signum: 2}"
        done = train(tmp_path, *WORDS, "callbacks=plain", "trainer.max_epochs=1", stop)
        assert done.status == 130
        (run_dir,) = run_dirs(tmp_path)
        assert f"interrupted; to go on, type: convline figures {run_dir.relative_to(tmp_path)}\n" in done.err
        assert "test accuracy" in done.out
        assert read_summary(run_dir)["status"] == "finished"
        assert train(tmp_path, f"resume={run_dir}").status == 0
        assert len((tmp_path / "runs" / "test_ledger.csv").read_text().splitlines()) == 2  # its head, and one look

    def test_a_misspelt_name_is_told_before_the_training(self, tmp_path: Path) -> None:
        done = train(tmp_path, *WORDS, "callbacks.pictures.at_end=[confusoin_matrix]")
        assert done.status == 1
        assert "there is no picture 'confusoin_matrix' (did you mean 'confusion_matrix'?)" in done.err
        assert run_dirs(tmp_path) == []

    def test_one_that_needs_predictions_cannot_be_drawn_by_epoch(self, tmp_path: Path) -> None:
        done = train(tmp_path, *WORDS, "callbacks.pictures.at_epochs=[filters,confusion_matrix]")
        assert done.status == 1
        assert "at_epochs names confusion_matrix, drawn of the predictions at the run's end" in done.err
        assert run_dirs(tmp_path) == []


class TestReadingBack:
    def test_the_network_before_training_is_the_one_that_build_makes(self, watched: Path) -> None:
        cfg = read_config(watched)
        state = torch.get_rng_state()
        alone = build_initial_network(cfg).state_dict()
        assert torch.equal(torch.get_rng_state(), state)
        built = build(cfg)[1].network.state_dict()
        assert all(torch.equal(alone[key], value) for key, value in built.items())

    def test_the_network_gives_the_stored_predictions(self, watched: Path) -> None:
        run = LoadedRun(watched)
        with torch.no_grad():
            logits = run.network(run.samples("val", 60).images)
        assert torch.allclose(logits, run.predictions("val").logits, atol=1e-5)

    def test_averaged_weights_are_taken_where_there_are_some(self, tmp_path: Path) -> None:
        assert train(tmp_path, *SMALL, "classifier.ema_decay=0.9", "trainer.max_epochs=1").status == 0
        (run_dir,) = run_dirs(tmp_path)
        run = LoadedRun(run_dir)
        with torch.no_grad():
            logits = run.network(run.samples("val", 60).images)
        assert torch.allclose(logits, run.predictions("val").logits, atol=1e-5)
        state = checkpoint(run_dir, "best")["state_dict"]
        assert torch.equal(run.network.fc1.weight.detach(), state["average.module.fc1.weight"])

    def test_one_of_each_class(self, watched: Path) -> None:
        examples = LoadedRun(watched).one_sample_per_class(4)
        assert examples.labels.tolist() == [0, 1, 2, 3]
        assert examples.pictures.dtype == torch.uint8

    def test_what_is_no_finished_run(self, watched: Path, tmp_path: Path) -> None:
        (tmp_path / "half").mkdir()
        (tmp_path / "half" / "config.yaml").write_bytes((watched / "config.yaml").read_bytes())
        summary = (watched / "summary.json").read_text().replace('"finished"', '"interrupted"')
        (tmp_path / "half" / "summary.json").write_text(summary)
        with pytest.raises(UserError, match=r"val\.npz is missing: the run is not finished"):
            figures.confusion_matrix(tmp_path / "half")
        with pytest.raises(UserError, match=r"best\.ckpt is missing"):
            figures.filters(tmp_path / "half")
        for figure in (figures.filters, figures.confusion_matrix):
            with pytest.raises(UserError, match="is not a run directory"):
                figure(tmp_path / "nowhere")

    @pytest.mark.parametrize("size", [0, 1000])
    def test_predictions_that_are_cut_off(self, size: int, watched: Path, tmp_path: Path) -> None:
        for name in ("config.yaml", "summary.json"):
            (tmp_path / name).write_bytes((watched / name).read_bytes())
        (tmp_path / "predictions").mkdir()
        content = (watched / "predictions" / "val.npz").read_bytes()
        (tmp_path / "predictions" / "val.npz").write_bytes(content[:size])
        with pytest.raises(UserError, match=r"val\.npz is damaged: .*\.\n  Everything else"):
            figures.confusion_matrix(tmp_path)


@pytest.mark.gpu
def test_everything_is_drawn_on_a_gpu(tmp_path: Path) -> None:
    words = [word for word in WORDS if word != "trainer.accelerator=cpu"]
    done = train(tmp_path, *words, "trainer.accelerator=gpu", "trainer.precision=bf16-mixed", "callbacks=everything")
    assert done.status == 0, done.err
    assert "failed" not in done.err
    (run_dir,) = run_dirs(tmp_path)
    assert {path.stem for path in (run_dir / "pictures").iterdir()} >= set(figures.BY_NAME)
    found = EventAccumulator(str(run_dir)).Reload()
    assert [point.step for point in found.Scalars("norms/gradient")] == list(range(5, 2 * STEPS_PER_EPOCH, 5))


class TestTheCommand:
    def test_draws_what_is_named(self, watched: Path, tmp_path: Path) -> None:
        only = ["--only", "confusion_matrix", "--only", "translation"]
        done = convline(tmp_path, "figures", str(watched), *only, "--svg", "--beside", str(watched))
        assert done.status == 0, done.err
        folder = watched / "pictures"
        named = [
            folder / f"{name}.{ending}" for name in ("confusion_matrix", "translation") for ending in ("png", "svg")
        ]
        assert done.out.splitlines() == list(map(str, named))
        assert (folder / "translation.svg").read_text().count("max pooling") == 2
        assert (folder / "confusion_matrix.svg").read_text().startswith("<?xml")

    def test_a_figure_that_fails_is_reported_unless_it_is_named(
        self, watched: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def draw(run: object) -> None:
            raise ValueError("a bug")

        monkeypatch.setattr(figures, "BY_NAME", {"filters": draw, "calibration": figures.calibration})
        log = watched / "log.txt"
        try:
            assert save(watched) == [watched / "pictures" / "calibration.png"]
            assert capsys.readouterr().err == f"drawing filters failed: a bug (traceback: {log})\n"
            assert "in draw\n" in log.read_text()
        finally:
            log.unlink(missing_ok=True)  # the run belongs to all tests of the session
        with pytest.raises(ValueError, match="a bug"):
            save(watched, ["filters"])

    def test_looks_at_the_test_set_leave_a_trace(self, watched: Path, tmp_path: Path) -> None:
        ledger = watched.parent / "test_ledger.csv"
        before = len(ledger.read_text().splitlines())
        only = ["--only", "confusion_matrix", "--only", "top_losses"]
        assert convline(tmp_path, "figures", str(watched), *only).status == 0
        assert len(ledger.read_text().splitlines()) == before
        assert convline(tmp_path, "figures", str(watched), *only, "--split", "test").status == 0
        assert len(ledger.read_text().splitlines()) == before + 1
        assert ",figures," in ledger.read_text().splitlines()[-1]

    def test_mistakes_of_typing(self, watched: Path, tmp_path: Path) -> None:
        done = convline(tmp_path, "figures", str(watched), "--only", "filtres")
        assert done.status == 1
        assert done.err.startswith("error: there is no picture 'filtres' (did you mean 'filters'?)")
        only = ["--only", "filters", "--only", "feature_maps"]
        done = convline(tmp_path, "figures", str(watched), *only, "--beside", str(watched))
        assert done.status == 1
        assert "--beside compares runs, which filters, feature_maps cannot do" in done.err
        done = convline(tmp_path, "figures", str(watched), *only, "--split", "test")
        assert done.status == 1
        able = "predictions, top_losses, confusion_matrix, confusion_matrix_normalized, calibration, translation"
        assert f"only on {able}" in done.err
        done = convline(tmp_path, "figures", "nowhere")
        assert done.status == 1
        assert "nowhere is not a run directory" in done.err
