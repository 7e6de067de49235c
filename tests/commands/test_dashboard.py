"""The dashboards as a browser shows them: TensorBoard, started by the real command on runs that the test makes."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from convline.commands.dashboard import find_loop, show
from convline.errors import UserError
from support.commands import ROOT, convline, run_dirs, train

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# WebGL without a graphics card, which the projector needs
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WORDS = [
    "model=keras_mnist",
    "data=synthetic",
    "data.image_size=28",
    "data.source.num_train=400",
    "data.source.num_test=100",
    "data.batch_size=32",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=4",
    "trainer.accelerator=cpu",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of the default settings, which differ in their seed."""
    folder = tmp_path_factory.mktemp("dashboards")
    for done in [train(folder, *WORDS, f"seed={seed}", f"name=seed{seed}") for seed in (0, 1)]:
        assert done.status == 0, done.err
        assert "no picture" not in done.out
    return folder / "runs"


@contextmanager
def served(runs: Path) -> Iterator[str]:
    """`convline dashboard` on a free port; its address."""
    command = [sys.executable, "-c", "from convline.cli import main; main()", "dashboard", str(runs), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
        assert found, server.stderr and server.stderr.read()
        yield found.group()
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.communicate()


@pytest.fixture(scope="module")
def page(runs: Path) -> Iterator[Any]:
    """A tab of the browser that shows the dashboards."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if BROWSER is None or sync_playwright is None:
        reason = "no chromium on this machine" if BROWSER is None else "the package playwright is not installed"
        assert not os.environ.get("CONVLINE_REQUIRE_BROWSER"), reason
        pytest.skip(reason)
    with served(runs) as address, sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=BROWSER, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1200})
        page.set_default_timeout(30_000)
        page.errors = []
        page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(address)
        yield page
        browser.close()


def search(page: Any, tab: str, pattern: str) -> None:
    """Only the cards whose tags match: without, the page shows the first dozen of a group, and closes later groups."""
    page.evaluate(f"location.hash = '{tab}&tagFilter={pattern}'")


def lines(page: Any, element: str) -> int:
    """Curves that are really drawn: paths with coordinates."""
    page.locator(f"{element} path.line[d^=M]").first.wait_for(state="attached")
    return int(page.locator(f"{element} path.line[d^=M]").count())


def scalars(page: Any) -> None:
    for tag in ("norms/gradient", "norms/update_to_weights", "memory/peak_GiB", "images/s", "val_acc_by_class/class 9"):
        search(page, "scalars", tag)
        page.locator(f"tf-scalar-card:has-text('{tag}')").first.wait_for()
    assert lines(page, "tf-scalar-card") >= 2  # one of each run


def images(page: Any) -> None:
    halves = [
        "filters feature_maps confusion_matrix confusion_matrix_normalized attribution",
        "predictions top_losses calibration",
    ]
    for names in map(str.split, halves):
        search(page, "images", f"pictures/({'|'.join(names)})$")
        for name in names:
            page.locator(f"tf-image-loader:has-text('pictures/{name}') img").nth(1).wait_for()  # of both runs
    search(page, "images", "training")
    page.locator("tf-image-loader:has-text('training images') img").first.wait_for()
    sizes = page.locator("tf-image-loader img").evaluate_all("all => all.map(image => image.naturalWidth)")
    assert min(sizes) > 200


def graphs(page: Any) -> None:
    for name in ("input", "conv1", "fc2"):
        page.locator(f"tf-graph-scene g.node:has-text('{name}')").first.wait_for(state="attached")


def distributions(page: Any) -> None:
    page.locator("vz-distribution-chart path.area[d^=M]").first.wait_for(state="attached")


def histograms(page: Any) -> None:
    for tag in ("activations/conv1", "activations/relu1"):
        page.locator(f"tf-histogram-loader:has-text('{tag}')").first.wait_for()
    page.locator("vz-histogram-timeseries path[d^=M]").first.wait_for(state="attached")


def text(page: Any) -> None:
    search(page, "text", ".")
    for words in ("keras_mnist", "CONV(32, 3, pad=valid)", '"torchvision":'):
        page.locator(f"tf-markdown-view:has-text('{words}')").first.wait_for()
    page.locator("tf-markdown-view td:has-text('36,928')").first.wait_for()  # parameters of the third convolution


def pr_curves(page: Any) -> None:
    page.locator("tf-pr-curve-card").nth(9).wait_for()
    page.locator("tf-pr-curve-card path.line[d^=M]").nth(9).wait_for(state="attached")


def projector(page: Any) -> None:
    inside = page.frame_locator("iframe").first.frame_locator("iframe")
    for words in ("Points: 40", "Dimension: 64"):
        inside.locator(f"vz-projector:has-text('{words}')").first.wait_for()
    inside.locator("vz-projector canvas").first.wait_for(state="attached")


def hparams(page: Any) -> None:
    for words in ("optimizer.lr", "result/test/acc", "keras_mnist"):
        page.locator(f"vaadin-grid-cell-content:has-text('{words}')").first.wait_for(state="attached")


def custom_scalars(page: Any) -> None:
    for words in ("loss", "accuracy"):
        page.locator(f"tf-custom-scalar-multi-line-chart-card:has-text('{words}')").first.wait_for()
    drawn = page.locator("tf-custom-scalar-multi-line-chart-card path.line[d^=M]")
    drawn.nth(3).wait_for(state="attached")  # loss and accuracy, train and validation


def timeseries(page: Any) -> None:
    for run in ("seed0", "seed1"):
        page.locator(f"runs-data-table:has-text('{run}')").first.wait_for()
    page.locator("card-view").nth(9).wait_for(state="attached")


TABS: dict[str, Callable[[Any], None]] = {
    "timeseries": timeseries,
    "scalars": scalars,
    "custom_scalars": custom_scalars,
    "images": images,
    "graphs": graphs,
    "distributions": distributions,
    "histograms": histograms,
    "text": text,
    "pr_curves": pr_curves,
    "hparams": hparams,
    "projector": projector,
}


@pytest.mark.slow
@pytest.mark.parametrize("tab", TABS)
def test_a_tab_shows_its_content_without_errors(tab: str, page: Any) -> None:
    page.evaluate(f"location.hash = '{tab}'")
    TABS[tab](page)
    assert page.errors == []


def test_a_run_of_the_default_settings_writes_little(runs: Path) -> None:
    for run_dir in run_dirs(runs.parent):
        assert sum(path.stat().st_size for path in run_dir.glob("events.out.*")) < 2_000_000


def test_what_cannot_be_served_is_said_on_one_screen(tmp_path: Path) -> None:
    done = convline(tmp_path, "dashboard")
    assert done.status == 1
    assert done.err.startswith("error: there is no folder runs.")
    assert "convline train" in done.err
    (tmp_path / "runs").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = convline(tmp_path, "dashboard", "--port", str(taken.getsockname()[1]))
    assert done.status == 1
    assert "TensorBoard cannot start" in done.err
    assert "--port 0" in done.err
    assert "Traceback" not in done.err
    for port in ("-1", "65536"):
        done = convline(tmp_path, "dashboard", "--port", port)
        assert done.status == 2
        assert "Invalid value for '--port'" in done.err
        assert "Traceback" not in done.err


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / "twin").symlink_to("one")  # no loop
    (tmp_path / "runs" / "itself").symlink_to("itself")
    (tmp_path / "runs" / "more").symlink_to(tmp_path / "elsewhere")
    assert find_loop(tmp_path / "runs") is None
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "runs")
    assert find_loop(tmp_path / "runs") == tmp_path / "runs" / "more" / "back"
    with pytest.raises(UserError, match=r"more/back is a link to a folder above it"):
        show(tmp_path / "runs")
