"""The words of the pages, from ``texts.toml``: templates by key, filled in where a block is built."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files

from emospace.report.blocks import Chart, Panel, Prose


@lru_cache
def _templates() -> dict[str, dict[str, str]]:
    return tomllib.loads((files("emospace.report") / "texts.toml").read_text(encoding="utf-8"))


def fill(key: str, **values: object) -> dict[str, str]:
    """Return the texts of a block, filled in."""
    return {name: template.format(**values) for name, template in _templates()[key].items()}


def panel(key: str, chart: Chart, text: str = "", **values: object) -> Panel:
    """Return a figure with its heading, caption and words for who cannot see it.

    Parameters
    ----------
    key, text
        The figure's anchor, and its name in ``texts.toml``; `key` unless given.
    """
    words = values | fill(text or key, **values)
    heading, caption, alt = (str(words[name]) for name in ("heading", "caption", "alt"))
    return Panel(key, heading, caption, alt, chart)


def prose(key: str, **values: object) -> Prose:
    """Return paragraphs: those of a text that a blank line parts."""
    return Prose(fill(key, **values)["text"].split("\n\n"))
