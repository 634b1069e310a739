"""The judge that is no model: how people rated the words a text uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emospace.errors import InvalidInput
from emospace.judges.splitting import content_words
from emospace.lexicon import base_language, spelling, word_groups

if TYPE_CHECKING:
    from emospace.norms import WordNorms


class WordRatings(NamedTuple):
    """Mean ratings of the words of texts, each ``[n_texts]``.

    `valence` and `arousal` are on -1..1, NaN where no word is rated or the norms hold no such target; `coverage` is
    the rated share of the content words, 0 without any.
    """

    valence: np.ndarray
    arousal: np.ndarray
    coverage: np.ndarray


def rate_words(texts: Sequence[str], norms: WordNorms, language: str) -> WordRatings:
    """Return the mean human rating of the content words of each text, a repeated word counted as often as it stands.

    The `emospace.judges.splitting.N_FUNCTION` most frequent words of the language's table are left out. A word not
    rated itself takes the mean of the rated words of its family (`emospace.lexicon.word_groups`: one stem); entries
    that name a sense in brackets are not used. Negation and context are not read.

    Raises
    ------
    EmospaceError
        If the norms are of another language.
    """
    if base_language(norms.language) != base_language(language):
        raise InvalidInput(
            f"norms '{norms.name}'",
            f"they rate words of '{norms.language}', the texts are in '{language}'",
            "Give norms of the language of the texts.",
        )
    bare = norms.without_senses()
    rated = np.array([spelling(word) for word in bare.words], dtype=object)
    lists = content_words(texts, language, rated)
    number = {word: i for i, word in enumerate(dict.fromkeys(word for words in lists for word in words))}
    owner = np.repeat(np.arange(len(lists)), [len(words) for words in lists])
    words = np.array([number[word] for words in lists for word in words], dtype=int)
    n_words = np.bincount(owner, minlength=len(lists))

    forms, form = np.unique(rated.astype(str), return_inverse=True)
    family = word_groups((*forms, *number), language)
    place = {str(word): i for i, word in enumerate(forms)}
    exact = np.array([place.get(word, -1) for word in number], dtype=int)

    def means(target: str) -> tuple[np.ndarray, np.ndarray]:
        if target not in bare.targets:
            return np.full(len(lists), np.nan), np.zeros(len(lists), dtype=int)
        of_form = _mean(form, bare.unit(target).to_numpy(), len(forms))
        of_family = _mean(family[: len(forms)], of_form, int(family.max(initial=-1)) + 1)
        rating = of_family[family[len(forms) :]]
        rating[exact >= 0] = of_form[exact[exact >= 0]]
        ratings = rating[words]
        is_rated = ~np.isnan(ratings)
        n_rated = np.bincount(owner[is_rated], minlength=len(lists))
        return _mean(owner[is_rated], ratings[is_rated], len(lists)), n_rated

    (valence, n_valence), (arousal, n_arousal) = means("valence"), means("arousal")
    covered = np.maximum(n_valence, n_arousal)
    coverage = np.divide(covered, n_words, out=np.zeros(len(lists)), where=n_words > 0)
    return WordRatings(valence, arousal, coverage)


def _mean(groups: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Return the mean of the finite values of each group ``[n]``, NaN for a group without one."""
    finite = np.isfinite(values)
    sums = np.bincount(groups[finite], weights=values[finite], minlength=n)
    counts = np.bincount(groups[finite], minlength=n)
    return np.asarray(np.divide(sums, counts, out=np.full(n, np.nan), where=counts > 0))
