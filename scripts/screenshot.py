"""Draw the pictures of the documentation: TensorBoard on a folder of runs, or a report's page, as a browser shows them.

    python scripts/screenshot.py runs docs/dashboard.png
    python scripts/screenshot.py runs/…_sweep/report.html docs/report.png

Needs Debian's chromium and the package playwright, neither of which Convline itself needs.
"""

import socket
import subprocess
import sys
import time
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def report(page_file: Path, picture: Path) -> None:
    """Take the picture of a whole report."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as browsers:
        page = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page(
            viewport={"width": 1200, "height": 900}
        )
        page.goto(f"file://{page_file.resolve()}")
        page.screenshot(path=picture, full_page=True)


def dashboard(runs: Path, picture: Path) -> None:
    """Start TensorBoard on loopback, take the picture of the loss and accuracy curves, and stop it."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(runs), "--host", "127.0.0.1", "--port", str(port)],
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(10)  # it reads the event files before it answers
        with sync_playwright() as browsers:
            page = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page(
                viewport={"width": 1400, "height": 900}
            )
            page.goto(f"http://127.0.0.1:{port}/?tagFilter=%5E(train%7Cval)%2F(acc%7Closs)%24&smoothing=0#timeseries")
            page.wait_for_selector("text=val/loss", timeout=20_000)
            page.get_by_role("button", name="Settings").first.click()
            time.sleep(3)
            page.screenshot(path=picture)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    (report if source.suffix == ".html" else dashboard)(source, target)
