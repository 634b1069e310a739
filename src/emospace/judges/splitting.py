"""Texts as words: by spaces where the script has them, by the longest known word where it has none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from emospace.lexicon import frequency_table, spelling

N_FUNCTION = 100
"""The most frequent words of a language, taken for function words."""

# Han, kana, Thai, Lao, Burmese and Khmer.
SPACELESS = (
    r"\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u3005\u3040-\u30fa\u30fc-\u30ff"
    r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Never with IGNORECASE: the Kelvin sign would take every k. A class of signs, because `\w` leaves out the vowel marks of Indic scripts.
SIGNS = (
    r"\x00-/:-@\[-`{-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u055a-\u055f\u0589\u060c\u061b\u061f"
    r"\u066a-\u066d\u06d4\u0964\u0965\u1360-\u1368\u2010-\u205f\u20a0-\u2bff\u3000-\u3004\u3006-\u303f\u30fb"
    r"\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufffd\U0001f000-\U0001faff"
)
LETTER = rf"[^\s{SIGNS}{SPACELESS}]"
# "don't" and "joy's" are one word, "l'amour" is two.
SPACED = rf"{LETTER}+(?:['’](?i:s|t|m|d|re|ve|ll)(?!{LETTER}))?"
SPACED_WORD = re.compile(SPACED)
_RUN = re.compile(rf"{SPACED}|[{SPACELESS}]+")
_TOKEN = re.compile(rf"{SPACED}|[{SPACELESS}]|[^\s]")
_SPACELESS = re.compile(rf"[{SPACELESS}]")


def is_spaceless(text: str) -> bool:
    """Return whether any character is of a script that puts no spaces between words."""
    return bool(_SPACELESS.search(text))


def tokens(text: str) -> list[str]:
    """Return the words and signs of a text in lower case; where there are no spaces, its characters."""
    return [spelling(match) for match in _TOKEN.findall(text)]


def split_words(text: str, vocabulary: Iterable[str]) -> list[str]:
    """Return the words of a text in lower case, without signs.

    Where there are no spaces, each next word is the longest of the vocabulary (maximum matching, Liu & Liang 1986),
    else one character.
    """
    vocabulary = frozenset(vocabulary)
    longest = _longest(vocabulary)
    words: list[str] = []
    for run in _RUN.findall(text):
        if not is_spaceless(run):
            words.append(spelling(run))
            continue
        start = 0
        while start < len(run):
            end = min(len(run), start + longest)
            while end > start + 1 and run[start:end] not in vocabulary:
                end -= 1
            words.append(run[start:end])
            start = end
    return words


@lru_cache(maxsize=32)
def _longest(vocabulary: frozenset[str]) -> int:
    return max(map(len, vocabulary), default=1)


@lru_cache(maxsize=16)
def function_words(language: str) -> frozenset[str]:
    """Return the `N_FUNCTION` most frequent words of a language; none where it has no frequency table."""
    counts = frequency_table(language).counts
    return frozenset(sorted(counts, key=lambda word: (-counts[word], word))[:N_FUNCTION])


@lru_cache(maxsize=16)
def known_words(language: str) -> frozenset[str]:
    """Return the words by which texts of a language without spaces are split: its neutral pool."""
    return frozenset(frequency_table(language).pool)


def content_words(texts: Sequence[str], language: str, vocabulary: Iterable[str] = ()) -> list[list[str]]:
    """Return the words of each text without the function words of its language.

    Parameters
    ----------
    vocabulary
        Words by which to split besides those of the lexicon, where there are no spaces.
    """
    split_by, left_out = known_words(language).union(vocabulary), function_words(language)
    return [[word for word in split_words(text, split_by) if word not in left_out] for text in texts]
