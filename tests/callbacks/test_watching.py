"""What a run shows beside its curves: that it is right, and that nothing of it changes the training."""

import json
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from sklearn.metrics import precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from convline.callbacks import class_metrics
from convline.callbacks.histograms import dead_share, sampling_stride, write_histogram
from convline.callbacks.projector import embeddings
from convline.callbacks.run_description import texts
from convline.callbacks.tensorboard import chosen_epochs
from convline.config import load_config
from convline.network.build import build_network
from convline.network.hooks import evaluating, outputs
from convline.network.summary import summarize
from convline.records.directory import read_config, read_summary
from convline.training.loaded_run import LoadedRun
from convline.training.setup import build_initial_network
from support.commands import run_dirs, train
from support.run_files import checkpoint, curves, without_the_kill
from support.watched_run import STEPS_PER_EPOCH, WORDS


def points(events: EventAccumulator, tag: str) -> dict[int, float]:
    return {point.step: point.value for point in events.Scalars(tag)}


def test_nothing_changes_the_training(watched: Path, tmp_path: Path) -> None:
    assert train(tmp_path, *WORDS, "callbacks=plain").status == 0
    (plain,) = run_dirs(tmp_path)
    for name in ("best", "last"):
        one, other = checkpoint(watched, name), checkpoint(plain, name)
        assert all(torch.equal(one["state_dict"][key], value) for key, value in other["state_dict"].items())
        assert torch.equal(one["rng"]["cpu"], other["rng"]["cpu"])
    assert curves(watched) == curves(plain)
    identities = [json.loads((run_dir / "summary.json").read_text())["identity"] for run_dir in (watched, plain)]
    assert identities[0] == identities[1]


def test_a_network_is_left_as_it_was() -> None:
    network = build_network("CONV(3, 3) -> BATCHNORM -> DROPOUT -> FC", (1, 6, 6), 2)
    network.train()
    network.bn1.eval()  # as one freezes it
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    outputs(network, torch.randn(4, 1, 6, 6, generator=torch.Generator()), lambda module: True, lambda *_: None)
    assert [module.training for module in network.children()] == [True, False, True, True, True]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(ValueError, match="broken"), evaluating(network):
        raise ValueError("broken")
    assert network.training


def test_layers_of_a_compiled_network_are_seen() -> None:
    network = build_network("CONV(3, 3) -> RELU -> FC", (1, 6, 6), 2)
    network.compile(backend="eager")
    images = torch.randn(4, 1, 6, 6)
    network(images)  # compiles
    found = outputs(network, images, lambda module: isinstance(module, nn.ReLU), lambda _, output: output)
    assert list(found) == ["relu1"]
    assert found["relu1"].shape == (4, 3, 6, 6)


class TestNorms:
    def test_of_plain_sgd(self, events: EventAccumulator) -> None:
        """Without momentum and decay a step is the learning rate times the gradient."""
        gradient, size = points(events, "norms/gradient"), points(events, "norms/weights")
        moved = points(events, "norms/update_to_weights")
        assert list(gradient) == list(size) == list(moved) == list(range(5, 2 * STEPS_PER_EPOCH, 5))
        for step, value in gradient.items():
            assert moved[step] * size[step] == pytest.approx(0.1 * value, rel=1e-3)

    def test_the_weights_are_those_before_the_step(self, watched: Path, tmp_path: Path) -> None:
        done = train(
            tmp_path, *WORDS, "trainer.log_every_n_steps=1", "trainer.limit_train_batches=2", "callbacks.pictures=null"
        )
        assert done.status == 0, done.err
        (run_dir,) = run_dirs(tmp_path)
        first = EventAccumulator(str(run_dir)).Reload().Scalars("norms/weights")[0]
        network = build_initial_network(read_config(run_dir))
        assert first.step == 1
        norm = torch.stack([p.detach().norm() for p in network.parameters()]).norm().item()
        assert first.value == pytest.approx(norm, rel=1e-6)

    def test_a_clipped_gradient_is_shown_as_it_was(self, tmp_path: Path, events: EventAccumulator) -> None:
        words = ["classifier.gradient_clip_norm=0.01", "trainer.log_every_n_steps=1", "trainer.max_epochs=1"]
        assert train(tmp_path, *WORDS, *words, "callbacks.pictures=null").status == 0
        (run_dir,) = run_dirs(tmp_path)
        clipped = EventAccumulator(str(run_dir)).Reload()
        gradient, size = points(clipped, "norms/gradient"), points(clipped, "norms/weights")
        moved = points(clipped, "norms/update_to_weights")
        assert min(gradient.values()) > 0.1
        for step in gradient:
            assert moved[step] * size[step] == pytest.approx(0.1 * 0.01, rel=1e-3)

    @pytest.mark.slow
    @pytest.mark.parametrize("step", [31, 41])  # after a checkpoint within the epoch, and after one at its end
    def test_a_resumed_run_has_each_point_once(self, step: int, tmp_path: Path) -> None:
        words = [*WORDS, "callbacks.pictures=null", "callbacks.checkpoint.every_n_steps=7"]
        kill = f"+callbacks.kill={{_target_: support.kill_at.KillAt, step: {step}}}"
        assert train(tmp_path, *words, kill).status == -signal.SIGKILL
        (run_dir,) = run_dirs(tmp_path)
        without_the_kill(run_dir)
        assert train(tmp_path, f"resume={run_dir}").status == 0
        found = EventAccumulator(str(run_dir), size_guidance={"scalars": 0, "histograms": 0}).Reload()
        for tag in ("norms/gradient", "train/loss_step"):
            assert [point.step for point in found.Scalars(tag)] == list(range(5, 2 * STEPS_PER_EPOCH, 5))
        assert [point.step for point in found.Histograms("gradients/conv1")] == [34, 68]
        assert [point.step for point in found.Scalars("val_acc_by_class/class 0")] == [34, 68]


class TestHistograms:
    def test_of_each_layer_at_each_epoch(self, events: EventAccumulator) -> None:
        tags = set(events.Tags()["histograms"])
        layers = {"conv1", "fc1", "fc2"}
        assert tags == {
            *(f"{kind}/{name}" for kind in ("weights", "gradients", "activations") for name in layers),
            "activations/relu1",
            "activations/relu2",
        }
        for tag in tags:
            assert [found.step for found in events.Histograms(tag)] == [34, 68]

    def test_the_last_weights(self, watched: Path, events: EventAccumulator) -> None:
        found = events.Histograms("weights/fc1")[-1].histogram_value
        saved = checkpoint(watched, "last")["state_dict"]["network.fc1.weight"]
        assert found.num == sum(found.bucket) == saved.numel()
        assert (found.min, found.max) == pytest.approx((saved.min().item(), saved.max().item()))
        assert found.sum == pytest.approx(saved.double().sum().item())
        assert found.sum_squares == pytest.approx(saved.double().square().sum().item())

    def test_buckets_by_hand(self, tmp_path: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(tmp_path)) as writer:
            write_histogram(writer, "a", torch.tensor([0.0, 0.01, 0.5, 1.0]), 7)
            write_histogram(writer, "alike", torch.full((5,), 3.0), 7)
            write_histogram(writer, "broken", torch.tensor([1.0, float("nan")]), 7)
        found = EventAccumulator(str(tmp_path)).Reload()
        (one,), (alike,) = found.Histograms("a"), found.Histograms("alike")
        counts = dict(zip(one.histogram_value.bucket_limit, one.histogram_value.bucket, strict=True))
        assert {round(limit, 6): count for limit, count in counts.items() if count} == {0.025: 2, 0.525: 1, 1.0: 1}
        assert sum(alike.histogram_value.bucket) == 5
        assert found.Tags()["histograms"] == ["a", "alike"]

    def test_activations_come_from_everywhere(self) -> None:
        columns = torch.arange(8.0).expand(128, 256, 8, 8)  # each value is the column in which it lies
        values = columns.flatten()[:: sampling_stride(columns.numel())]
        assert 15_000 < len(values) <= 20_000
        counts = values.int().bincount(minlength=8)
        assert counts.min() > 0.99 * counts.max()
        assert sampling_stride(100) == 1

    def test_dead_units(self, events: EventAccumulator) -> None:
        maps = torch.zeros(2, 3, 2, 2)
        maps[1, 1, 0, 1] = 0.1  # one of three maps is alive, on one image
        assert dead_share(maps) == pytest.approx(2 / 3)
        assert dead_share(torch.tensor([[0.0, 1.0], [0.0, 0.0]])) == 0.5
        assert {"dead_relus/relu1", "dead_relus/relu2"} <= set(events.Tags()["scalars"])
        assert all(0 <= value < 1 for value in points(events, "dead_relus/relu2").values())

    def test_the_last_epoch_of_a_run_that_is_stopped_early_is_shown(self, tmp_path: Path) -> None:
        early = ["callbacks=early_stopping", "callbacks.early_stopping.patience=1"]
        early += ["callbacks.early_stopping.min_delta=100", "trainer.max_epochs=100"]
        pictures = ["callbacks.pictures.at_end=[]", "callbacks.pictures.at_epochs=[filters]"]
        assert train(tmp_path, *WORDS, *early, *pictures).status == 0
        (run_dir,) = run_dirs(tmp_path)
        found = EventAccumulator(str(run_dir), size_guidance={"images": 0, "histograms": 0}).Reload()
        for shown in (found.Histograms("weights/conv1"), found.Scalars("dead_relus/relu1")):
            assert [each.step for each in shown] == [34, 68]
        assert [picture.step for picture in found.Images("by epoch/filters")] == [34, 68]

    def test_chosen_epochs(self) -> None:
        assert chosen_epochs(5, 10) == {1, 2, 3, 4, 5}
        assert chosen_epochs(100, 3) == {1, 51, 100}
        assert chosen_epochs(7, 1) == {7}
        assert len(chosen_epochs(90, 10)) == 10


def test_class_accuracy_and_memory(watched: Path, events: EventAccumulator) -> None:
    summary = read_summary(watched)
    step = STEPS_PER_EPOCH * summary["best_epoch"]
    for name, accuracy in summary["class_accuracy"]["val"].items():
        assert points(events, f"val_acc_by_class/{name}")[step] == pytest.approx(accuracy, abs=1e-6)
    assert class_metrics.tag("mouse (animal)") == "val_acc_by_class/mouse [animal]"
    assert all(0.05 < value < 100 for value in points(events, "memory/peak_GiB").values())


def test_precision_and_recall(watched: Path, events: EventAccumulator) -> None:
    said = LoadedRun(watched).predictions("val")
    chances = said.logits.softmax(dim=1).numpy()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("validation/")]
    assert len(tags) == 10
    for number in (0, 7):
        (found,) = events.Tensors(f"validation/class {number}")
        curve = np.array(found.tensor_proto.float_val).reshape(6, -1)
        threshold = 40 / 126  # of 127 thresholds
        right, guesses = said.labels.numpy() == number, chances[:, number] >= threshold
        assert curve[4, 40] == pytest.approx(precision_score(right, guesses, zero_division=0))
        assert curve[5, 40] == pytest.approx(recall_score(right, guesses))


def test_text_graph_and_layout(watched: Path, events: EventAccumulator) -> None:
    def text(tag: str) -> str:
        return str(events.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0], "utf8")

    assert "CONV(4) -> BATCHNORM" in text("pattern")
    assert "train.py \\\n        data=synthetic" in text("command")
    assert f'"torch": "{torch.__version__.split("+")[0]}"' in text("environment")
    assert "| conv1 | 4×16×16 | 40 |" in text("layers")
    graph = {node.name: node for node in events.Graph().node}
    assert list(graph["bn1"].input) == ["conv1"]
    shape = graph["pool1"].attr["_output_shapes"].list.shape[0]
    assert [dim.size for dim in shape.dim] == [-1, 4, 8, 8]
    assert "custom_scalars__config__" in events.Tags()["tensors"]


def test_texts_tell_the_whole_network_in_lines_that_fit(tmp_path: Path) -> None:
    cfg = load_config(["model=googlenet", "data=digits"])
    pattern = "CONV(4, 3) -> " * 20 + "INCEPTION  # a comment of " + "words " * 30
    cfg.model.pattern = f"{'CONV(4, 3) -> ' * 20}\n{pattern}\n-> FC"
    OmegaConf.save(cfg, tmp_path / "config.yaml", resolve=True)
    words = ["python", "train.py", *(f"data.source.num_train={number}" for number in range(10)), "name=a b"]
    (tmp_path / "environment.json").write_text(json.dumps({"command": words, "data_fingerprint": "0"}))
    found = texts(tmp_path, summarize(build_network("FC", (1, 2, 2), 2), (1, 2, 2)))
    shown = [line.removeprefix("    ") for line in found["pattern"].splitlines()]
    assert [line for line in shown if len(line) > 100 and "r3: " not in line and "concat" not in line] == [pattern]
    assert "inception(a, r3, b, r5, c, p): " in found["pattern"]  # which the pattern names
    assert shlex.split(found["command"].replace("\\\n", "")) == words  # as a shell reads it


def test_projector(watched: Path) -> None:
    run = LoadedRun(watched)
    table = np.loadtxt(watched / "projector" / "points.tsv")
    images = run.samples("val", 500).images
    _, logits = embeddings(run.network, images, batch_size=7)
    with torch.no_grad():
        expected = nn.Sequential(*list(run.network.children())[:-1])(images).numpy()
    assert table.shape == (60, 16)
    assert np.allclose(table, expected, rtol=1e-3, atol=1e-6)
    assert torch.allclose(logits, run.predictions("val").logits, atol=1e-5)
    head, *lines = (watched / "projector" / "labels.tsv").read_text().splitlines()
    assert head.split("\t") == ["correct", "predicted", "true"]
    guesses, labels = logits.argmax(dim=1).tolist(), run.predictions("val").labels.tolist()
    for line, guess, label in zip(lines, guesses, labels, strict=True):
        assert line.split("\t") == ["yes" if guess == label else "no", run.classes[guess], run.classes[label]]
    sprites = np.asarray(Image.open(watched / "projector" / "sprites.png"))
    assert sprites.shape == (8 * 16, 8 * 16, 3)
    picture = run.samples("val", 10).pictures[9, 0].numpy()
    assert (sprites[16:32, 16:32, 0] == picture).all()  # the tenth image is the second of the second row
