"""What texts show without a judge: repetition, words in common, questions answered, the language they are in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from emospace.errors import InvalidInput
from emospace.judges.splitting import LETTER, content_words, is_spaceless, tokens
from emospace.lexicon import base_language, frequency_table, lexicon_languages, word_groups

_ACCENTS = re.compile(r"[\u0300-\u036f]")
_NUMERALS = "〇零一二三四五六七八九十百千万亿两"
REPEATED = 3
"""Length of the n-grams whose return counts as repetition."""


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Return the distinct n-grams of a set of texts over all its n-grams, 0..1 (Li et al. 2016, distinct-n).

    Tokens are words and signs in lower case, characters where the script has no spaces; no n-gram spans two
    texts. The share falls as a set grows, so compare sets of about the same size. NaN without any n-gram.
    """
    grams = [gram for text in texts for gram in _grams(tokens(text), n)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def repetition(text: str) -> float:
    """Return the share of a text's tokens that lie in a 3-gram already seen earlier in it, 0..1.

    Tokens as in `distinct_n`, signs included, so that a row of exclamation marks counts. 0 below four tokens.
    """
    words = tokens(text)
    seen: set[tuple[str, ...]] = set()
    again = [False] * len(words)
    for start, gram in enumerate(_grams(words, REPEATED)):
        if gram in seen:
            again[start : start + REPEATED] = [True] * REPEATED
        seen.add(gram)
    return sum(again) / len(words) if words else 0.0


def similarity(texts: Sequence[str], references: Sequence[str], language: str) -> np.ndarray:
    """Return the TF-IDF cosine ``[n_texts]``, 0..1, of each text with its own reference.

    It counts content words in common, inflections as one word (see `emospace.lexicon.word_groups`), and knows no
    synonyms and no meaning: two good answers to one prompt may have little in common, so read it beside the
    similarity of two unsteered answers. Weights ``log((1 + n) / (1 + df)) + 1`` count the references alone and are
    therefore the same for every set of texts held against them. 0 where either has no content word.

    Raises
    ------
    EmospaceError
        If there is not one reference to each text.
    """
    if len(texts) != len(references):
        raise InvalidInput(
            f"{len(texts)} texts and {len(references)} references",
            "each text is held against its own reference",
            "Give one reference to each text.",
        )
    if not len(texts):
        return np.zeros(0)
    from sklearn.feature_extraction.text import TfidfVectorizer

    lists = content_words([*texts, *references], language)
    words = tuple(dict.fromkeys(word for words in lists for word in words))
    group = dict(zip(words, word_groups(words, language).tolist(), strict=True))
    if not group:
        return np.zeros(len(texts))
    vectorizer = TfidfVectorizer(
        analyzer=lambda words: [group[word] for word in words],
        vocabulary=sorted(set(group.values())),
        lowercase=False,
        norm=None,
    )
    vectorizer.fit(lists[len(texts) :])
    left, right = (vectorizer.transform(part) for part in (lists[: len(texts)], lists[len(texts) :]))
    common, left_size, right_size = (
        np.asarray(first.multiply(second).sum(axis=1)).ravel()
        for first, second in ((left, right), (left, left), (right, right))
    )
    norms = np.sqrt(left_size * right_size)
    return np.asarray(np.divide(common, norms, out=np.zeros(len(texts)), where=norms > 0))


def answered(texts: Sequence[str], accepted: Sequence[Sequence[str]]) -> np.ndarray:
    """Return whether each text holds one of its accepted answers, ``[n_texts]`` of bool.

    Case, accents and the width of digits do not matter. An answer stands as whole words, so ``5`` is not in ``15``;
    where the script puts no spaces it may stand anywhere, but a Chinese number never inside a longer one (``一月`` in
    ``十一月``). What else the text says is not judged.

    Raises
    ------
    EmospaceError
        If there are not accepted answers for each text.
    """
    if len(texts) != len(accepted):
        raise InvalidInput(
            f"{len(texts)} texts and {len(accepted)} lists of accepted answers",
            "each text is held against its own answers",
            "Give one list to each text.",
        )
    return np.array(
        [bool(_pattern(answers).search(_plain(text))) for text, answers in zip(texts, accepted, strict=True)],
        dtype=bool,
    )


def in_language(texts: Sequence[str], language: str) -> np.ndarray:
    """Return whether each text is in a language ``[n_texts]``, 1 or 0; NaN for a text without a word.

    NaN for every text where the language has no frequency table.
    A text is taken to be in the language, of all that have a table, in whose table its words (characters, where
    there are no spaces) have the highest mean Zipf frequency.
    """
    code = base_language(language)
    if code not in lexicon_languages():
        return np.full(len(texts), np.nan)
    return np.array([_is_in(text, code) for text in texts], dtype=np.float64)


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def _plain(text: str) -> str:
    """Return a text in lower case, without accents, with digits and letters of one width."""
    apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", _ACCENTS.sub("", apart)).casefold()


def _pattern(answers: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(_whole(_plain(answer)) for answer in answers if answer) or r"(?!)")


def _whole(answer: str) -> str:
    """Return a pattern of an answer that is part of no longer word or number."""

    def border(sign: str) -> str:
        if sign in _NUMERALS:
            return rf"[{_NUMERALS}]"
        return r"(?!)" if is_spaceless(sign) else LETTER

    return f"(?<!{border(answer[0])}){re.escape(answer)}(?!{border(answer[-1])})"


def _is_in(text: str, code: str) -> float:
    words = [token for token in tokens(text) if token[0].isalpha()]
    if not words:
        return float("nan")
    zipf = {name: frequency_table(name).zipf(words) for name in lexicon_languages()}
    means = {name: values.mean() for name, values in zipf.items() if values is not None}
    return float(max(means, key=lambda name: means[name]) == code)
