"""Judges of the emotion of a text, all of them independent of any model under study."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from emospace.errors import unknown
from emospace.judges.judgement import (
    AUROC_FLOOR,
    BASIC_SEVEN,
    UNJUDGED,
    Judge,
    Judgement,
    is_fit,
    weakness,
)
from emospace.specs import BASIC

__all__ = [
    "AUROC_FLOOR",
    "BASIC",
    "BASIC_SEVEN",
    "JUDGES",
    "UNJUDGED",
    "Judge",
    "Judgement",
    "is_fit",
    "load_judge",
    "weakness",
]

# Prefix of a judge's name -> module and function that loads it; the function is given the whole name.
JUDGES: dict[str, tuple[str, str]] = {
    "ngram": ("emospace.judges.embedded", "load_embedded"),
    "subword": ("emospace.judges.embedded", "load_embedded"),
    "hf": ("emospace.judges.classifier", "load_classifier"),
    "llm": ("emospace.judges.llm", "load_llm"),
}


def load_judge(name: str) -> Judge:
    """Return the judge of a name: ``ngram``, ``subword``, ``hf:NAME`` or ``llm:MODEL@URL``.

    Parameters
    ----------
    name
        ``ngram`` (hashed n-grams; calibrates by default) and ``subword`` (hashed subwords; evaluates by default) come
        with emospace. ``hf:NAME`` is a text-classification model of the hub or a folder, with ``#FILE.json`` for what
        its labels mean; ``llm:MODEL@URL`` a language model at an endpoint with the OpenAI chat protocol.

    Raises
    ------
    EmospaceError
        If there is no judge of that name.
    """
    prefix = name.partition(":")[0]
    if prefix not in JUDGES:
        raise unknown("judge", name, tuple(JUDGES))
    module, function = JUDGES[prefix]
    return cast("Callable[[str], Judge]", getattr(import_module(module), function))(name)
