"""The language an answer is in, so that a tone from elsewhere is not mistaken for a change of language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emospace.judges.splitting import tokens
from emospace.lexicon import base_language, frequency_table, lexicon_languages


def in_language(texts: Sequence[str], language: str) -> np.ndarray:
    """Return whether each text is in a language ``[n_texts]``, 1.0 or 0.0; NaN where it has no frequency table or no word.

    A text is taken to be in the language, of all that have a table, in whose table its words (characters, where
    there are no spaces) have the highest mean Zipf frequency.
    """
    code, known = base_language(language), lexicon_languages()
    if code not in known:
        return np.full(len(texts), np.nan)
    return np.array([_is_in(text, code, known) for text in texts], dtype=np.float64)


def _is_in(text: str, code: str, known: Sequence[str]) -> float:
    words = [token for token in tokens(text) if token[0].isalpha()]
    if not words:
        return float("nan")
    found = [zipf.mean() for name in known if (zipf := frequency_table(name).zipf(words)) is not None]
    return float(known[int(np.argmax(found))] == code)
