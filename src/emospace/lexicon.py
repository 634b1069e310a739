"""Word frequencies counted from running text, the neutral pool drawn from them, and word families.

The tables under ``data/lexicon`` are figures (strings and counts) made by ``recipes/build_lexicon.py``; the
card beside each names its corpora. No rating and no emotion list has a say in any of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.artefacts import file_hash, read_object
from emospace.errors import unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATA = Path(__file__).parent / "data" / "lexicon"

STEMMERS: Mapping[str, str] = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
"""Snowball algorithm of each language; the others are grouped by their spelling alone."""

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "ko": (*"은는이가을를의에도만로와과", "에서", "에게", "한테", "으로", "까지", "부터", "처럼", "보다"),
    "zh": ("的", "地", "得", "了", "着", "著"),
}
"""Particles that make another form of the same word, where there is no stemmer; two letters of the word stay."""


class Inflection(NamedTuple):
    """How a language's verbs are recognised in running text.

    `citation` is the ending of the dictionary form, `endings` leave the stem as it is, `past` is the last letter
    (decomposed) of a past stem, and the stems in `present` end in it all the same.
    """

    citation: str
    endings: tuple[str, ...]
    past: str
    present: tuple[str, ...]


ENDINGS: Mapping[str, Inflection] = {
    "ko": Inflection(
        "다",
        ("다", "고", "지", "게", "네", "던", "거나", "는", "는데", "지만", "면서", "기", "지도", "고도", "자", "죠", "지요", "네요"),
        "\u11bb",
        ("있",),
    ),
}  # fmt: skip
"""Languages whose verbs are counted in their dictionary form."""

_SENSE = re.compile(r"\s*[(（][^)）]*[)）]\s*$")


@dataclass(frozen=True)
class WordFrequencies:
    """How often the words of a language occur in its bundled corpora.

    Attributes
    ----------
    language
        Language code.
    corpus
        What was counted; None when the language has no table, and then matching is on length and token count.
    n_tokens
        Running words counted (running characters where the script puts no spaces between words).
    counts
        Occurrences of each word, lower case; strings anywhere in the text where there are no spaces.
    pool
        Words that may stand in the neutral pool, most frequent first, as they are usually written.
    least
        Rarer words count as seen so often: where the texts are few, a word seen once says as little of its
        frequency as one never seen, and the two are to be matched with one another.
    """

    language: str
    corpus: str | None = None
    n_tokens: int = 0
    counts: Mapping[str, int] = field(default_factory=dict, repr=False)
    pool: tuple[str, ...] = field(default=(), repr=False)
    least: int = 0

    def known(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each word is in the table, ``[n_words]``."""
        return np.array([spelling(word) in self.counts for word in words], dtype=bool)

    def zipf(self, words: Sequence[str]) -> NDArray[np.float64] | None:
        """Return the Zipf frequency of each word, ``[n_words]``, or None when the language has no table.

        The base-10 logarithm of occurrences per billion tokens with one added to every count, so a word
        outside the table has the value of a word seen `least` times (van Heuven et al. 2014, Q J Exp Psychol 67).
        """
        if self.corpus is None:
            return None
        seen = [max(self.counts.get(spelling(word), 0), self.least) for word in words]
        counts = np.array(seen, dtype=float)
        return np.log10((counts + 1) / (self.n_tokens + len(self.counts))) + 9


def spelling(word: str) -> str:
    """Return the form under which a word is counted: composed, lower case, straight apostrophe, no sense mark."""
    return _SENSE.sub("", unicodedata.normalize("NFC", word)).strip().lower().replace("’", "'")


def base_language(language: str) -> str:
    """Return the language of a tag without script or region: ``zh-Hant`` gives ``zh``."""
    return language.replace("_", "-").split("-")[0].lower()


def lexicon_languages() -> tuple[str, ...]:
    """Return the languages that have a frequency table."""
    return tuple(sorted(path.stem for path in DATA.glob("*.parquet")))


@lru_cache(maxsize=16)
def frequency_table(language: str) -> WordFrequencies:
    """Return the word frequencies of a language; without a table, an empty one whose `corpus` is None.

    Parameters
    ----------
    language
        ISO 639-1 code such as ``en``; script and region are left aside (``zh-Hant`` takes ``zh``).
    """
    import pandas as pd

    code = base_language(language)
    path = DATA / f"{code}.parquet"
    if not path.exists():
        return WordFrequencies(code)
    table, card = pd.read_parquet(path), read_object(DATA / f"{code}.json")
    return WordFrequencies(
        language=code,
        corpus=card["corpus"],
        n_tokens=card["n_tokens"],
        counts=dict(zip(table["word"], table["count"].tolist(), strict=True)),
        pool=tuple(table.loc[table["pool"], "form" if "form" in table else "word"]),
        least=card.get("least", 0),
    )


def table_hash(language: str) -> str | None:
    """Return the hash of a language's table and its card, or None where there is none."""
    path = DATA / f"{base_language(language)}.parquet"
    return file_hash([path, path.with_suffix(".json")]) if path.exists() else None


def pool_words(language: str, exclude: Iterable[str] = ()) -> tuple[str, ...]:
    """Return ordinary words from which matched neutral pools are drawn, most frequent first.

    They are chosen by form and frequency alone: seen at least 5 times (concept words can be rare, and a pool
    must reach as low), letters only, one form of each family, no proper noun where capitals mark it. No
    rating and no emotion list filters them.

    Parameters
    ----------
    language
        ISO 639-1 code such as ``en``, of a language with a table (`frequency_table`).
    exclude
        Words to leave out together with their families (see `same_family`), usually the concept words.

    Raises
    ------
    EmospaceError
        If the language has no frequency table.
    """
    frequencies = frequency_table(language)
    if not frequencies.pool:
        raise unknown("pool language", language, lexicon_languages())
    barred = same_family(frequencies.pool, tuple(exclude), language)
    return tuple(word for word, out in zip(frequencies.pool, barred, strict=True) if not out)


def word_groups(words: Sequence[str], language: str) -> NDArray[np.int64]:
    """Return a group number for each word, ``[n_words]``; words of one group must stay in the same fold.

    One group holds duplicates, case variants, senses of one word ("bank (money)"), and inflections and simple
    derivations that share a Snowball stem (Porter 2001). Where there is no stemmer the spelling decides, less
    one particle of `SUFFIXES`. Irregular forms ("mice") are not joined.
    Numbers run from 0 in order of first appearance.

    Parameters
    ----------
    words
        The words, without markup; repeats are welcome.
    language
        ISO 639-1 code such as ``en``; it chooses the stemmer or the particles, and without either the spelling decides.
    """
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(key, len(numbers)) for key in word_families(words, language)], dtype=np.int64
    )


def same_family(words: Sequence[str], concept_words: Iterable[str], language: str) -> NDArray[np.bool_]:
    """Return whether each word is a concept word or an inflection of one, ``[n_words]``, by `word_groups`' rule."""
    concepts = set(word_families(tuple(concept_words), language))
    return np.array([key in concepts for key in word_families(words, language)], dtype=bool)


def word_families(words: Sequence[str], language: str) -> list[str]:
    """Return the stem or bare form each word's family goes by, ``[n_words]``."""
    stem = _stemmer(base_language(language))
    return [" ".join(stem(part) for part in spelling(word).casefold().split()) for word in words]


def citation_counts(counts: Counter[str], language: str) -> tuple[Counter[str], set[str]]:
    """Return the counts with those of inflected forms under the form a dictionary has, and these forms.

    A noun is a word seen both bare and with a particle, which then counts for it. A verb is a stem seen with two of
    the endings that leave a stem as it is; its dictionary form counts for all of them. A stem with the mark of the past,
    or seen oftener by itself (a noun with the copula), is none.
    """
    cited: Counter[str] = Counter()
    forms: dict[str, int] = {}
    for (word, n), family in zip(counts.items(), word_families(list(counts), language), strict=True):
        noun = family if family in counts else word
        cited[noun] += n
        forms[noun] = forms.get(noun, 0) + 1
    nouns = {word for word, n in forms.items() if n > 1}

    verb_forms = ENDINGS[language]
    stems: dict[str, list[int]] = {}
    for word, n in counts.items():
        for ending in verb_forms.endings:
            if word.endswith(ending) and len(word) > len(ending):
                stems.setdefault(word.removesuffix(ending), []).append(n)
    verbs = {
        stem + verb_forms.citation: sum(seen)
        for stem, seen in stems.items()
        if len(seen) > 1
        and counts[stem] < sum(seen)
        and not stem.endswith(verb_forms.citation)
        and (
            stem.endswith(verb_forms.present)
            or not unicodedata.normalize("NFD", stem).endswith(verb_forms.past)
        )
    }
    cited.update({verb: n - cited[verb] for verb, n in verbs.items()})
    return cited, nouns | set(verbs)


@lru_cache(maxsize=16)
def _stemmer(language: str) -> Callable[[str], str]:
    if language in STEMMERS:
        from snowballstemmer import stemmer

        stem: Callable[[str], str] = stemmer(STEMMERS[language]).stemWord
        return lru_cache(maxsize=100_000)(stem)
    suffixes = SUFFIXES.get(language, ())
    return lambda word: word[: len(word) - _particle(word, suffixes)]


def _particle(word: str, suffixes: Sequence[str]) -> int:
    """Return how many letters at the end of a word are a particle, at least two letters before it."""
    return max((len(end) for end in suffixes if word.endswith(end) and len(word) - len(end) >= 2), default=0)
