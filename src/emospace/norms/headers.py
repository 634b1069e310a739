"""What one column header says: which rating, which statistic, of whom, or which word column."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files

LONGEST_NAME, LONGEST_HEADER = 60, 2000
"""Letters of a header without spaces that is still cut into names, and of one that is read; what is longer is text."""

_IDEOGRAPHIC = re.compile(r"[\u3040-\u30ff㐀-鿿가-힣]")
_SCALE = re.compile(
    r"[(\[（]\s*([-−+]?\d+(?:[.,]\d+)?)\s*(?:-|–|—|~|to|bis|a|à|至|\.\.+|,|;|/)\s*([-−+]?\d+(?:[.,]\d+)?)\s*(?:[,;][^)\]）]*)?[)\]）]"
)
_BRACKETS = re.compile(r"[(\[][^()\[\]]*[)\]]")
_LABELLED = re.compile(
    r"(?P<end>[-+]?\d+(?:\.\d+)?)\s*[=:]\s*(?P<after>[^\d=:,;/]+)|(?P<before>[^\d=:,;/([]+?)\s*=\s*(?P<number>[-+]?\d+(?:\.\d+)?)"
)
_ENDS = re.compile(r"\s(?:to|bis|vs|a|à)\s|[-–—~/,;→至]")
_TESTS_FIRST = ("p", "t", "z", "d", "q")
_FALLS = {(1, -1): True, (1, 0): True, (0, -1): True, (-1, 1): False, (-1, 0): False, (0, 1): False}
"""Which of two ends names high answers (1), low ones (-1) or neither (0) -> whether the scale falls."""


@dataclass(frozen=True)
class Header:
    """The parts of a column header.

    Parameters
    ----------
    targets
        Ratings it names; a rater count may serve several.
    statistics
        Of ``mean``, ``sd`` and ``n``; none where it names none; mean and SD for cells such as "7.5 (1.3)".
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
    unrelated
        Whether it names a test statistic, a rank, an identifier, a count or another kind of rating.
    unknown
        Parts that are in no list, or `unrelated`: such a column is not taken for a rating or a word.
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
    unrelated: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def is_mean(self) -> bool:
        """Whether it may head mean ratings: it names no statistic, or the mean."""
        return self.statistics in (frozenset(), {"mean"}, {"mean", "sd"})


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
    """Return what a header says; a cell too long to be one is unknown, unread."""
    if len(cell) > LONGEST_HEADER:
        return Header(unknown=(cell[:LONGEST_NAME],))
    text = unicodedata.normalize("NFKC", cell).replace("−", "-")
    ends = _labelled_ends(text)
    if ends is None:
        return _from_parts(_parts(text), _scale(text))
    scale, falls = ends
    return replace(_from_parts(_parts(_BRACKETS.sub(" ", text)), scale), reversed=falls)


def stem(cell: str) -> frozenset[str]:
    """Return the parts of a header that name no statistic: those "Affect_Mean" and "Affect_SD" share."""
    return frozenset(
        part for part in _parts(cell) if part != "m" and _vocabulary().get(part, ("",))[0] != "statistic"
    )


@cache
def language_names() -> Mapping[str, str]:
    """Return names of languages, folded -> ISO 639-1 code."""
    return {
        folded(name): code for code, names in _file()["language"].items() for name in names if len(name) > 1
    }


@cache
def source_headers() -> frozenset[str]:
    """Return the headers, in `plain` form, of columns that say where a row is from."""
    return frozenset(_file()["source"]["names"])


@cache
def _file() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((files("emospace") / "data" / "norms" / "headers.toml").read_text(encoding="utf-8"))


@cache
def _vocabulary() -> Mapping[str, tuple[str, str]]:
    """Return folded name -> (kind, value); where two kinds share a name, the first of the file stands."""
    vocabulary: dict[str, tuple[str, str]] = {}
    for kind, entries in _file().items():
        for key, names in entries.items() if kind not in ("single", "pole", "code", "source") else ():
            for name in names:
                value = key if kind in ("target", "statistic", "language", "script") else name
                vocabulary.setdefault(folded(name), (f"{kind}.{key}" if key == "weak" else kind, value))
    return vocabulary


@cache
def _longest_names() -> re.Pattern[str]:
    """Return the pattern that cuts text without spaces into the longest names of the vocabulary."""
    return re.compile(f"({'|'.join(map(re.escape, sorted(_vocabulary(), key=len, reverse=True)))})")


def _parts(cell: str) -> tuple[str, ...]:
    """Return the names a header is made of, and what lies between them."""
    text = _SCALE.sub(" ", unicodedata.normalize("NFKC", cell).replace("−", "-"))
    text = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])", " ", text)
    # Accents of other scripts are no letters to `re`, and stay.
    words = re.sub(r"[^\w%]|_", lambda c: c[0] if unicodedata.category(c[0])[0] == "M" else " ", folded(text))
    joined = words.replace(" ", "").replace("%", "")
    if joined in _vocabulary() and len(joined) > 2:
        return (joined,)
    pieces = words.split()
    parts: list[str] = []
    while pieces:
        pair = "".join(pieces[:2])
        taken = 2 if len(pieces) > 1 and len(pair) > 4 and pair in _vocabulary() else 1
        parts += [pair] if taken == 2 else _segmented(pieces[0])
        del pieces[:taken]
    return tuple(parts)


def _segmented(piece: str) -> list[str]:
    """Return the names a piece is made of ("valmn", "效价均值"), or the piece itself."""
    vocabulary = _vocabulary()
    if piece in vocabulary or piece.isdigit() or not 2 <= len(piece) <= LONGEST_NAME:
        return [piece]
    if _IDEOGRAPHIC.search(piece):
        return list(filter(None, _longest_names().split(piece)))
    fewest: list[list[str] | None] = [[]] + [None] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            before, name = fewest[start], piece[start:end]
            if before is None or not (name in vocabulary or name == "m"):
                continue
            # A single letter inside a run of letters is a part at its ends alone.
            if len(name) == 1 and not (name in "mn" and (start == 0 or end == len(piece))):
                continue
            best = fewest[end]
            if best is None or len(before) + 1 < len(best):
                fewest[end] = [*before, name]
    names = fewest[-1]
    return names if names and any(len(name) > 2 for name in names) else [piece]


def _labelled_ends(text: str) -> tuple[tuple[float, float] | None, bool | None] | None:
    """Return the scale and whether it runs from high to low, as in "(1 = positive, 9 = negative)".

    Either is None where the header leaves it open; the whole is None if no end has a name. Ends that have names alone
    stand with the lowest answer first: "(happy to unhappy)".
    """
    brackets = _BRACKETS.findall(text)
    ends = [
        (float(match["end"] or match["number"]), _pole(match["after"] or match["before"]))
        for bracket in brackets
        for match in _LABELLED.finditer(bracket)
    ]
    if not ends:
        poles = ([_pole(label) for label in _ENDS.split(bracket)] for bracket in brackets)
        ordered = [pair for pair in poles if len(pair) == 2 and pair[0] * pair[1] == -1]
        return (None, ordered[0][0] == 1) if ordered else None
    (low, low_pole), (high, high_pole) = min(ends), max(ends)
    scale = (low, high) if low < high else _scale(text)
    if low == high:
        # One end alone has a name; answers start at 1 or lower.
        at_low = low == scale[0] if scale else low <= 1
        low_pole, high_pole = (low_pole, 0) if at_low else (0, low_pole)
    return scale, _FALLS.get((low_pole, high_pole))


def _pole(label: str) -> int:
    """Return 1 for a word of the high end (positive, excited), -1 for one of the low end, 0 for neither or both."""
    words = set(re.split(r"[\W_]+", folded(label)))
    high, low = (words & {folded(name) for name in _file()["pole"][end]} for end in ("high", "low"))
    return bool(high) - bool(low)


def _scale(cell: str) -> tuple[float, float] | None:
    match = _SCALE.search(unicodedata.normalize("NFKC", cell))
    if not match:
        return None
    low, high = (float(end.replace("−", "-").replace(",", ".")) for end in match.groups())
    return (low, high) if low < high else None


def _from_parts(parts: tuple[str, ...], scale: tuple[float, float] | None) -> Header:
    singles = {letter: str(target) for letter, target in _file()["single"].items()}
    kinds = [_vocabulary().get(part, ("", "")) for part in parts]
    if len(parts) > 1 and kinds[-1][0] in ("", "filler") and (code := _file()["code"].get(parts[-1])):
        kinds[-1] = ("language", str(code))
    named = {kind for kind, _ in kinds}
    targets = [value for kind, value in kinds if kind == "target"]
    statistics = {value for kind, value in kinds if kind == "statistic"}
    word = "word" in named
    test = bool(targets) and (parts[0] in _TESTS_FIRST or bool({"p", "d", "z"} & set(parts)))
    unrelated = test or "other" in named or ("rating" in named and not targets)
    group = language = script = ""
    letters: list[str] = []
    unknown = []
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
            letters.append(singles[part])
        elif not kind and not (word and len(part) == 1 and not part.isdigit()):
            unknown.append(part)
    if not word:
        targets += letters
    return Header(
        targets=tuple(dict.fromkeys(targets)),
        letter=bool(targets) and "target" not in named,
        statistics=frozenset(statistics),
        whole="whole" in named,
        group=bool(group),
        word=word,
        weak="word.weak" in named,
        translation="translation" in named,
        language=language,
        script=script,
        scale=scale,
        unrelated=unrelated,
        unknown=tuple(unknown),
    )
