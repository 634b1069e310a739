"""Take the pictures of docs/serve.md: each view of a running server's page, used as a person uses it.

Start `emospace serve --runs runs` with two finished runs, then give its address. Fails where the page says an error.
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH, LARGEST = 1280, 200_000
LAST = {
    "steer": ".columns",
    "read": ".reading",
    "space": ".space .part >> nth=2",
    "compare": ".compare .part >> nth=1",
}
"""The element each picture ends with."""
PROMPT, TOKENS = "Tell me about your day.", 60


def steer(page: Any) -> None:
    """Ask for joy by its slider, and wait until both answers are judged."""
    page.wait_for_selector(".pad .category")
    page.fill("#prompt", PROMPT)
    page.get_by_role("slider", name="joy", exact=True).press("End")
    page.wait_for_selector(".cost")
    page.wait_for_timeout(1000)
    page.click(".steer button.main")
    for column in (".steer-unsteered", ".steer-steered"):
        page.wait_for_selector(f"{column}:not(.busy) .facts div:nth-child(3)")
    page.wait_for_selector(".steer-steered .facts div:nth-child(4)")
    page.wait_for_selector(".steer-steered .change")


def read(page: Any) -> None:
    """Read the text that stands there."""
    page.click(".read button.main")
    page.wait_for_selector(".token")


def space(page: Any) -> None:
    """Wait until every part of the first run is drawn."""
    for figure in ("plane", "layers-", "rdm-", "bars-"):
        page.wait_for_selector(f"[data-figure^={figure}] .main-svg")
    page.wait_for_selector(".space .find + .table td")


def compare(page: Any) -> None:
    """Show the first two runs beside one another."""
    page.wait_for_selector("[data-figure=beside-rsa] .main-svg")
    page.wait_for_selector(".compare .pair .main-svg >> nth=1")


VIEWS: dict[str, Callable[[Any], None]] = {"steer": steer, "read": read, "space": space, "compare": compare}


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8000")
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=list(VIEWS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images")
    asked = parser.parse_args()
    for view, picture in pictures(asked.address.rstrip("/"), asked.views):
        size = save(picture, asked.out / f"page-{view}.png")
        print(f"{view}: {size:,} bytes")


def pictures(address: str, views: list[str]) -> list[tuple[str, bytes]]:
    """Return each view as PNG."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    taken, faults = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for view in views:
            size = {"width": WIDTH, "height": 900}
            page = browser.new_page(viewport=size, locale="en-GB", color_scheme="light")
            page.set_default_timeout(300_000)
            page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.goto(f"{address}/#/{view}" + (f"?tokens={TOKENS}" if view == "steer" else ""))
            VIEWS[view](page)
            page.wait_for_timeout(1500)
            end = page.locator(LAST[view]).bounding_box()
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": end["y"] + end["height"] + 24}
            taken.append((view, page.screenshot(full_page=True, clip=clip)))
            page.close()
        browser.close()
    if faults:
        raise SystemExit(f"the page said: {faults}")
    return taken


def save(picture: bytes, path: Path) -> int:
    """Write a picture with 256 colours and return its bytes."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(
        path, optimize=True
    )
    size = path.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{path}: {size:,} bytes, {LARGEST:,} at most")
    return size


if __name__ == "__main__":
    main()
