"""Words with something about them that is no part of them: quotation marks, asterisks, dots for blanks, capitals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_PAIRED = re.compile(r"^(['’‘`]+)(.*\w.*)(['’´`]+)$")
_QUOTES = re.compile(r'^["“”„«»‹›「」『』]+|["“”„«»‹›「」『』]+$')
_MARKS = re.compile(r"^[*†‡§¶]+|[*†‡§¶¹²³⁴⁵⁶⁷⁸⁹⁰]+$")
_BLANKS = re.compile(r"(?<=[^\W\d_])_+(?=[^\W\d_])|(?<=[^\W\d_]{2})\.(?=[^\W\d_]{2})")
KINDS = ("quotation marks", "marks", "dots or underscores for blanks", "capitals")
"""What may be unclean about words; capitals are where nearly all words are written in them."""

MOST_CAPITALS = 0.8


def unclean(words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the words that are not clean, by `KINDS`; kinds without any are left out."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    capitals = [word for word in words if _in_capitals(word)]
    cased = sum(word != word.swapcase() and len(word) > 1 for word in words)
    if len(capitals) > 1 and len(capitals) >= MOST_CAPITALS * cased:
        found["capitals"] = capitals
    for word in words:
        for kind, clean in (
            ("quotation marks", _without_quotes),
            ("marks", lambda word: _MARKS.sub("", word)),
            ("dots or underscores for blanks", lambda word: _BLANKS.sub(" ", word)),
        ):
            if clean(word) != word:
                found[kind].append(word)
    return {kind: tuple(listed) for kind, listed in found.items() if listed}


def cleaned(words: Sequence[str], language: str = "") -> list[str]:
    """Return the words without quotation marks and marks, with blanks for dots and underscores, in small letters.

    Capitals are made small only where nearly all words are written in them; in Turkish and Azerbaijani I becomes ı.
    """
    small = "capitals" in unclean(words)
    return [
        _small(_clean(word), language) if small and _in_capitals(word) else _clean(word) for word in words
    ]


def _clean(word: str) -> str:
    before = ""
    while word != before:
        before, word = word, _MARKS.sub("", _without_quotes(word)).strip()
    return _BLANKS.sub(" ", word)


def _without_quotes(word: str) -> str:
    return _QUOTES.sub("", _PAIRED.sub(r"\2", word))


def _in_capitals(word: str) -> bool:
    return len(word) > 1 and word.isupper()


def _small(word: str, language: str) -> str:
    if language in ("tr", "az"):
        word = word.replace("I", "ı").replace("İ", "i")
    return word.lower()
