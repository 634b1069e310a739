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
    "judge_parts",
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
    """Return the judge of a name: ``ngram``, ``subword``, ``hf:NAME``, ``llm:MODEL@URL``, or several, with ``+`` between.

    Parameters
    ----------
    name
        ``ngram`` (hashed n-grams; calibrates by default) and ``subword`` (hashed subwords; evaluates by default) come
        with emospace. ``hf:NAME`` is a text-classification model of the hub or a folder, with ``#FILE.json`` for what
        its labels mean; ``llm:MODEL@URL`` a language model at an endpoint with the OpenAI chat protocol.
        ``ngram+subword`` judges by the mean of their calibrated probabilities.

    Raises
    ------
    EmospaceError
        If there is no judge of that name.
    """
    parts = judge_parts(name)
    if len(parts) > 1:
        from emospace.judges.combined import combine

        return combine([load_judge(part) for part in parts])
    prefix = name.partition(":")[0]
    if prefix not in JUDGES:
        raise unknown("judge", name, tuple(JUDGES))
    module, function = JUDGES[prefix]
    return cast("Callable[[str], Judge]", getattr(import_module(module), function))(name)


def judge_parts(name: str) -> tuple[str, ...]:
    """Return the names of the judges that a name stands for; a ``+`` within the name of a model parts nothing."""
    parts = tuple(part.strip() for part in name.split("+"))
    return parts if all(part.partition(":")[0] in JUDGES for part in parts) else (name,)
