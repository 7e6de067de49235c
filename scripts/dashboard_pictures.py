"""Train the runs of docs/dashboards.md, and draw its pictures: `python scripts/dashboard_pictures.py FOLDER`.

FOLDER keeps the runs; existing ones are not trained again. MNIST and CIFAR-10 must be in $CONVLINE_DATA or
./data. Needs Debian's chromium and the package playwright, neither of which Convline itself needs.
"""

import io
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from convline import figures
from convline.figures.canvas import png

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
PATTERN = "CONV(6, 5, pad=2) -> RELU -> {0} -> CONV(16, 5, pad=valid) -> RELU -> {0} -> FC(120) -> RELU -> FC"
RUNS = {
    **{f"lenet, seed {seed}": ["model=lenet", "data=mnist", f"seed={seed}"] for seed in (0, 1, 2)},
    "keras_mnist": ["model=keras_mnist", "data=mnist"],
    "keras_cifar10": ["model=keras_cifar10", "data=cifar10"],
    "max pooling": ["data=mnist", f'model.pattern="{PATTERN.format("POOL")}"'],
    "average pooling": ["data=mnist", f'model.pattern="{PATTERN.format("AVGPOOL")}"'],
    "strides": ["data=mnist", f'model.pattern="{PATTERN.format("CONV(16, 2, 2) -> RELU")}"'],
}
# by the name of a tab: a selector of what it must show before the picture is taken, and the rest of its address
TABS = {
    "custom_scalars": ("tf-custom-scalar-multi-line-chart-card path.line[d^=M]", ""),
    "histograms": ("vz-histogram-timeseries path[d^=M]", "&tagFilter=weights|gradients"),
    "distributions": ("vz-distribution-chart path.area[d^=M]", "&tagFilter=activations"),
    "images": ("tf-image-loader img", "&tagFilter=pictures"),
    "graphs": ("tf-graph-scene g.node", ""),
    "text": ("tf-markdown-view td", "&tagFilter=pattern|layers"),
    "pr_curves": ("tf-pr-curve-card path.line[d^=M]", ""),
}


def main(folder: Path) -> None:
    """Train the runs, draw the figures, and take a screenshot of each tab."""
    runs = {name: trained(folder, name, overrides) for name, overrides in RUNS.items()}
    mnist, cifar10 = runs["keras_mnist"], runs["keras_cifar10"]
    for run, names in (
        (
            mnist,
            (
                "feature_maps",
                "top_losses",
                "confusion_matrix",
                "calibration",
                "receptive_fields",
                "feature_visualization",
            ),
        ),
        (cifar10, ("filters", "predictions", "attribution")),
    ):
        for name in names:
            write(name, png(figures.by_name(name)(run)))
    write(
        "translation", png(figures.translation(*(runs[name] for name in ("max pooling", "average pooling", "strides"))))
    )
    with_tabs(folder)


def trained(folder: Path, name: str, overrides: list[str]) -> Path:
    """Return the directory of a run; train it first if it does not exist."""
    parent = folder / name.partition(",")[0]
    label = name.replace(", ", "-").replace(" ", "_")
    run_dirs = sorted(parent.glob(f"*_{label}"))
    if not run_dirs:
        command = [sys.executable, "train.py", *overrides, f"runs_dir={parent}", f"name={label}", "threads=1"]
        subprocess.run(command, cwd=ROOT, check=True)
        run_dirs = sorted(parent.glob(f"*_{label}"))
    return run_dirs[-1]


def write(name: str, content: bytes) -> None:
    """Write a picture with 128 colors, which makes it a third as large."""
    picture = Image.open(io.BytesIO(content)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    picture.save(PICTURES / f"{name}.png", optimize=True)


def with_tabs(folder: Path) -> None:
    """Take screenshots of the tabs: curves of three seeds, settings of all runs, everything else of one run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for runs, take in ((folder / "lenet", curves), (folder / "keras_mnist", tabs), (folder, settings)):
            with served(runs) as address:
                take(browser.new_page(viewport={"width": 1300, "height": 860}), address)
        browser.close()


@contextmanager
def served(runs: Path) -> Iterator[str]:
    """Serve these runs with TensorBoard, and yield its address."""
    command = [sys.executable, "-c", "from convline.cli import main; main()", "dashboard", str(runs), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        address = re.search(r"http://\S+/", server.stdout.readline())
        assert address
        yield address.group()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def curves(page: Any, address: str) -> None:
    """Take the README's picture: loss and accuracy."""
    page.goto(f"{address}?tagFilter=%5E(train%7Cval)%2F(acc%7Closs)%24&smoothing=0#timeseries")
    page.wait_for_selector("text=val/loss", timeout=20_000)
    page.get_by_role("button", name="Settings").first.click()
    page.wait_for_timeout(3000)
    write("tab_timeseries", page.screenshot())


def tabs(page: Any, address: str) -> None:
    """Take a screenshot of each tab."""
    page.goto(address)
    for tab, (content, more) in TABS.items():
        page.evaluate(f"location.hash = '{tab}{more}'")
        page.locator(content).first.wait_for(state="attached")
        page.wait_for_timeout(3000)
        if tab == "graphs":
            closer(page)
        write(f"tab_{tab}", page.screenshot())
    page.evaluate("location.hash = 'projector'")
    page.frame_locator("iframe").first.frame_locator("iframe").locator(
        "vz-projector:has-text('Points: 500')"
    ).wait_for()
    page.wait_for_timeout(6000)
    write("tab_projector", page.screenshot())


def closer(page: Any) -> None:
    """Zoom into the graph at its first layer, until the shapes can be read."""
    box = page.locator("tf-graph-scene g.node", has_text="input").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"])
    for _ in range(5):
        page.mouse.wheel(0, -100)
        page.wait_for_timeout(300)
    page.wait_for_timeout(1000)


def settings(page: Any, address: str) -> None:
    """Take a screenshot of the table of runs with their metrics."""
    page.set_viewport_size({"width": 1900, "height": 560})
    page.goto(f"{address}#hparams")
    page.locator("vaadin-grid-cell-content").first.wait_for(state="attached")
    page.wait_for_timeout(3000)
    write("tab_hparams", page.screenshot())


if __name__ == "__main__":
    if not shutil.which(CHROMIUM):
        raise SystemExit(f"{CHROMIUM} is not there: apt-get install chromium")
    main(Path(sys.argv[1]).absolute())
