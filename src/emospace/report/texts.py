"""The words of the pages: templates of ``texts.toml`` and ``sentences.toml``, filled in where a block is built."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any

from emospace.report.blocks import Chart, Panel, Prose
from emospace.report.wording import (
    count,
    counted,
    figure,
    interval,
    language_name,
    listed,
    number,
    p_clause,
    percent,
    plain_name,
    upper_first,
)

WRITERS: Mapping[str, Callable[[Any], str]] = {
    "r": figure,
    "number": number,
    "number1": lambda value: number(value, 1),
    "percent": percent,
    "count": count,
    "p": p_clause,
    "ci": lambda record: interval(record.ci_low, record.ci_high),
    "lang": language_name,
    "langs": lambda codes: listed([language_name(code) for code in codes]),
    "list": listed,
    "clauses": "; ".join,
    "name": plain_name,
    "title": upper_first,
}
"""What a template writes after the colon of a field; any other word is a noun that is counted: ``{n:word}``."""


class _Template(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if not format_spec:
            return str(value)
        write = WRITERS.get(format_spec)
        return write(value) if write else counted(value, format_spec)


_template = _Template()


@cache
def _templates(name: str) -> dict[str, dict[str, str]]:
    return tomllib.loads((files("emospace.report") / f"{name}.toml").read_text(encoding="utf-8"))


def fill(key: str, **values: object) -> dict[str, str]:
    """Return the texts of a block, filled in."""
    return {name: _template.format(text, **values) for name, text in _templates("texts")[key].items()}


def phrase(key: str, **values: object) -> str:
    """Return a sentence or clause, filled in; `key` is its table and name in ``sentences.toml``, with a dot between."""
    table, _, name = key.partition(".")
    return _template.format(_templates("sentences")[table][name], **values)


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
