"""What one column header says: which rating, which statistic, of whom, or which word column."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files

LONGEST_NAME = 60
"""Letters of a header without spaces that is still cut into names; what is longer is text."""

_IDEOGRAPHIC = re.compile(r"[\u3040-\u30ff㐀-鿿가-힣]")
_SCALE = re.compile(
    r"[(\[（]\s*([-−+]?\d+(?:[.,]\d+)?)\s*(?:-|–|—|~|to|bis|a|à|至|\.\.+|,|;|/)\s*([-−+]?\d+(?:[.,]\d+)?)\s*(?:[,;][^)\]）]*)?[)\]）]"
)

_BRACKETS = re.compile(r"[(\[][^()\[\]]*[)\]]")
_LABELLED = re.compile(
    r"(?P<end>[-+]?\d+(?:\.\d+)?)\s*[=:]\s*(?P<after>[^\d=:,;/]+)|(?P<before>[^\d=:,;/([]+?)\s*=\s*(?P<number>[-+]?\d+(?:\.\d+)?)"
)
_TESTS_FIRST = ("p", "t", "z", "d", "q")


@dataclass(frozen=True)
class Header:
    """The parts of a column header.

    Parameters
    ----------
    targets
        Ratings it names; a rater count may serve several.
    statistics
        Of ``mean``, ``sd`` and ``n``; none where it says none; mean and SD for cells such as "7.5 (1.3)".
    whole, group
        Whether it names the whole sample, or a part of it (men, the young).
    word, weak, translation
        Whether it names a word column, one by a name that often means another thing, or a translation.
    language, script
        Named in it: ISO 639-1, ``Hans`` or ``Hant``.
    scale
        (lowest, highest) answer given in brackets, as in "Valence (1-9)".
    letter
        Whether one letter alone names the rating: "V", "M V".
    reversed
        Whether the answers run from high to low, where the header names the ends: "(1 = positive, 9 = negative)".
    other
        Whether it names a test statistic, a rank, an identifier, a count or another kind of rating: never one of ours.
    unknown
        Parts nothing is known of, or of `other`: such a column is not taken for a rating or a word.
    """

    targets: tuple[str, ...] = ()
    statistics: frozenset[str] = frozenset()
    whole: bool = False
    group: bool = False
    word: bool = False
    weak: bool = False
    translation: bool = False
    language: str = ""
    script: str = ""
    scale: tuple[float, float] | None = None
    letter: bool = False
    reversed: bool | None = None
    other: bool = False
    unknown: tuple[str, ...] = ()


def plain(header: str) -> str:
    """Return a header in lower case with every run of spaces, dots, hyphens and underscores as one underscore."""
    joined = re.sub(r"[\s._\-]+", "_", unicodedata.normalize("NFKC", header).strip().casefold())
    return re.sub("_*:_*", ":", joined).strip("_")


def folded(text: str) -> str:
    """Return text without case and without accents."""
    marks = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", re.sub(r"[\u0300-\u036f]", "", marks))


@lru_cache(maxsize=2**16)
def parse_header(cell: str) -> Header:
    """Return what a header says."""
    text = unicodedata.normalize("NFKC", cell).replace("−", "-")
    ends = _labelled_ends(text)
    if not ends:
        return _said(tuple(_parts(text)), _scale(text))
    scale, falls = ends
    return replace(_said(tuple(_parts(_BRACKETS.sub(" ", text))), scale), reversed=falls)


def stem(cell: str) -> frozenset[str]:
    """Return the parts of a header that name no statistic: those "Affect_Mean" and "Affect_SD" share."""
    known = _vocabulary()
    return frozenset(
        part for part in _parts(cell) if part != "m" and known.get(part, ("",))[0] != "statistic"
    )


@cache
def language_names() -> Mapping[str, str]:
    """Return names of languages, folded -> ISO 639-1 code."""
    return {
        folded(name): code for code, names in _file()["language"].items() for name in names if len(name) > 1
    }


@cache
def _file() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((files("emospace") / "data" / "norms" / "headers.toml").read_text(encoding="utf-8"))


@cache
def _vocabulary() -> Mapping[str, tuple[str, str]]:
    """Return folded name -> (kind, value); where two kinds share a name, the first of the file stands."""
    known: dict[str, tuple[str, str]] = {}
    for kind, entries in _file().items():
        for key, names in entries.items():
            if kind in ("single", "pole", "code"):
                continue
            for name in names:
                value = key if kind in ("target", "statistic", "language", "script") else name
                known.setdefault(folded(name), (f"{kind}.{key}" if key == "weak" else kind, value))
    return known


def _parts(cell: str) -> list[str]:
    text = _SCALE.sub(" ", unicodedata.normalize("NFKC", cell).replace("−", "-"))
    text = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", text)
    words = "".join(
        c if c.isalnum() or c == "%" or unicodedata.category(c)[0] == "M" else " " for c in folded(text)
    )
    joined = words.replace(" ", "").replace("%", "")
    if joined in _vocabulary() and len(joined) > 2:
        return [joined]
    pieces = words.split()
    parts: list[str] = []
    while pieces:
        pair = "".join(pieces[:2])
        taken = 2 if len(pieces) > 1 and len(pair) > 4 and pair in _vocabulary() else 1
        parts += [pair] if taken == 2 else _segmented(pieces[0])
        del pieces[:taken]
    return parts


def _segmented(piece: str) -> list[str]:
    """Return the known names a piece is made of ("valmn", "效价均值"), or the piece itself."""
    known = _vocabulary()
    if piece in known or not 2 <= len(piece) <= LONGEST_NAME:
        return [piece]
    if _IDEOGRAPHIC.search(piece):
        return _longest_names(piece)
    best: list[list[str] | None] = [[]] + [None] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            before, name = best[start], piece[start:end]
            if before is None or not (name in known or name == "m"):
                continue
            # A single letter inside a run of letters says something at its ends alone.
            if len(name) == 1 and not (name in "mn" and (start == 0 or end == len(piece))):
                continue
            shorter = best[end]
            if shorter is None or len(before) + 1 < len(shorter):
                best[end] = [*before, name]
    found = best[-1]
    return found if found and any(len(name) > 2 for name in found) else [piece]


def _longest_names(piece: str) -> list[str]:
    """Return a header without spaces cut into its longest known names; what lies between stays as it is."""
    parts, rest, at = [], "", 0
    while at < len(piece):
        for end in range(len(piece), at, -1):
            if piece[at:end] in _vocabulary():
                parts += [rest, piece[at:end]]
                rest, at = "", end
                break
        else:
            rest += piece[at]
            at += 1
    return [part for part in [*parts, rest] if part]


def _labelled_ends(text: str) -> tuple[tuple[float, float] | None, bool | None] | None:
    """Return the scale and whether it runs from high to low, as in "(1 = positive, 9 = negative)".

    Either is None where the header leaves it open; the whole is None if no end has a name.
    """
    found: list[tuple[float, int]] = []
    for bracket in _BRACKETS.findall(text):
        for match in _LABELLED.finditer(bracket):
            number, label = match["end"] or match["number"], match["after"] or match["before"]
            found.append((float(number), _pole(label)))
    if not found:
        return _ends_in_order(text)
    (low, low_pole), (high, high_pole) = min(found), max(found)
    scale = (low, high) if low < high else _scale(text)
    if low == high:
        # One end alone has a name; answers start at 1 or lower.
        at_low = low == scale[0] if scale else low <= 1
        low_pole, high_pole = (low_pole, 0) if at_low else (0, low_pole)
    falls = {(1, -1): True, (1, 0): True, (0, -1): True, (-1, 1): False, (-1, 0): False, (0, 1): False}
    return scale, falls.get((low_pole, high_pole))


def _ends_in_order(text: str) -> tuple[None, bool] | None:
    """Return the direction of a scale whose ends have names alone, the lowest answer first: "(happy to unhappy)"."""
    for bracket in _BRACKETS.findall(text):
        ends = [_pole(label) for label in re.split(r"\s(?:to|bis|vs|a|à)\s|[-–—~/,;→至]", bracket)]
        if len(ends) == 2 and ends[0] * ends[1] == -1:
            return None, ends[0] == 1
    return None


def _pole(label: str) -> int:
    """Return 1 for a word of the high end (positive, excited), -1 for one of the low end, 0 for neither or both."""
    words = set(re.split(r"[\W_]+", folded(label)))
    high, low = (words & {folded(name) for name in _file()["pole"][end]} for end in ("high", "low"))
    return bool(high) - bool(low)


def _scale(cell: str) -> tuple[float, float] | None:
    found = _SCALE.search(unicodedata.normalize("NFKC", cell))
    if not found:
        return None
    low, high = (float(end.replace("−", "-").replace(",", ".")) for end in found.groups())
    return (low, high) if low < high else None


def _said(parts: tuple[str, ...], scale: tuple[float, float] | None) -> Header:
    known = _vocabulary()
    singles = {letter: str(target) for letter, target in _file()["single"].items()}
    kinds = [known.get(part, ("", "")) for part in parts]
    if len(parts) > 1 and kinds[-1][0] in ("", "filler") and (code := _file()["code"].get(parts[-1])):
        kinds[-1] = ("language", str(code))
    targets = [value for kind, value in kinds if kind == "target"]
    statistics = {value for kind, value in kinds if kind == "statistic"}
    word = any(kind == "word" for kind, _ in kinds)
    group = language = script = ""
    unknown = []
    test = bool(targets) and (parts[0] in _TESTS_FIRST or bool({"p", "d", "z"} & set(parts)))
    other = test or any(kind == "other" or (kind == "rating" and not targets) for kind, _ in kinds)
    for part, (kind, value) in zip(parts, kinds, strict=True):
        if part == "m":
            # "V.Mean.M" is the mean of men, "V.M" a mean.
            if statistics - {"n"} or "m" in unknown:
                group = part
            else:
                statistics = statistics | {"mean"}
        elif kind == "group":
            group = value
        elif kind == "language":
            if part != "e" or word:
                language = language or value
            else:
                unknown.append(part)
        elif kind == "script":
            script = value
        elif kind in ("other", "rating") or (test and part in _TESTS_FIRST):
            unknown.append(part)
        elif part in singles:
            targets.append(singles[part])
        elif not kind and not (word and len(part) == 1 and not part.isdigit()):
            unknown.append(part)
    if word and any(part in singles for part in parts):
        targets = [value for kind, value in kinds if kind == "target"]
    return Header(
        targets=tuple(dict.fromkeys(targets)),
        letter=bool(targets) and all(kind != "target" for kind, _ in kinds),
        statistics=frozenset(statistics),
        whole=any(kind == "whole" for kind, _ in kinds),
        group=bool(group),
        word=word,
        weak=any(kind == "word.weak" for kind, _ in kinds),
        translation=any(kind == "translation" for kind, _ in kinds),
        language=language,
        script=script,
        scale=scale,
        other=other,
        unknown=tuple(unknown),
    )
