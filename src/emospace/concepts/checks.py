"""What is wrong or doubtful in concept-sets: overlap, size, weights, words a tokenizer cannot write."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Protocol

import numpy as np

from emospace.concepts.category import PLACES
from emospace.concepts.sets import ConceptSets, folded

if TYPE_CHECKING:
    import pandas as pd

FEW_CONCEPTS = 20
MAX_OVERLAP = 0.15
FATAL = ("empty set", "duplicate word", "weight out of range")


class Tokenizer(Protocol):
    """What `check_concepts` asks of a tokenizer; those of ``transformers`` have it."""

    unk_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...


def overlap(sets: ConceptSets, language: str) -> pd.DataFrame:
    """Return every pair of categories that shares a word.

    Columns category_a, category_b, n_shared, share (of the smaller set), jaccard, words (a tuple); the most
    similar pair first.
    """
    import pandas as pd

    members = {category: dict.fromkeys(sets.words(language, category)) for category in sets.labels[language]}
    rows = []
    for a, b in combinations(members, 2):
        shared = [word for word in members[a] if word in members[b]]
        if shared:
            n = len(shared)
            n_a, n_b = len(members[a]), len(members[b])
            rows.append((a, b, n, n / min(n_a, n_b), n / (n_a + n_b - n), tuple(shared)))
    columns = ["category_a", "category_b", "n_shared", "share", "jaccard", "words"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("jaccard", ascending=False, kind="stable", ignore_index=True)


def check_concepts(sets: ConceptSets, tokenizer: Tokenizer | None = None) -> pd.DataFrame:
    """List what is wrong or doubtful in concept-sets; those in `FATAL` make a set unusable.

    Problems: empty set, few concepts (under 20), duplicate word, weight out of range, several words, overlap
    (two sets share more than 15% of the smaller one), own category (none of the 42), missing category (another
    language has it) and, with a tokenizer, no token and unknown token.

    Parameters
    ----------
    sets
        The concept-sets, bundled or a user's own; ``load_concepts(..., strict=False)`` loads sets that are not usable.
    tokenizer
        That of a model (``model.tokenizer``), to find words it cannot write; None leaves these two problems out.

    Returns
    -------
    pandas.DataFrame
        Columns problem, language, category, word, detail; no row when all is well.
    """
    import pandas as pd

    problems: list[tuple[str, str, str, str, str]] = []
    for language in sets.languages:
        for category in sets.categories:
            if category not in sets.labels[language]:
                problems.append(("missing category", language, category, "", "another language has it"))
                continue
            if category not in PLACES:
                problems.append(("own category", language, category, "", "not one of the bundled categories"))
            rows = sets.rows(language, category)
            words = rows["word"].tolist()
            if not words:
                problems.append(("empty set", language, category, "", "no words"))
            elif len(words) < FEW_CONCEPTS:
                detail = f"{len(words)}, at least {FEW_CONCEPTS} are advised"
                problems.append(("few concepts", language, category, "", detail))
            seen: set[str] = set()
            for word, weight in zip(words, rows["weight"].to_numpy(dtype=np.float64), strict=True):
                if folded(word) in seen:
                    problems.append(("duplicate word", language, category, word, "listed twice"))
                seen.add(folded(word))
                if not 0 < weight <= 1:
                    problems.append(
                        ("weight out of range", language, category, word, f"{weight:g}, not in (0, 1]")
                    )
                if re.search(r"\s", word):
                    problems.append(("several words", language, category, word, "a concept is one word"))
        shared = overlap(sets, language)
        for pair in shared[shared["share"] > MAX_OVERLAP].to_dict("records"):
            both = f"{pair['category_a']} + {pair['category_b']}"
            detail = f"{pair['n_shared']} words, {pair['share']:.0%} of the smaller set"
            problems.append(("overlap", language, both, ", ".join(pair["words"]), detail))
        if tokenizer is not None:
            problems += _untokenized(sets, language, tokenizer)
    return pd.DataFrame(problems, columns=["problem", "language", "category", "word", "detail"])


def _untokenized(
    sets: ConceptSets, language: str, tokenizer: Tokenizer
) -> list[tuple[str, str, str, str, str]]:
    problems = []
    for category in sets.labels[language]:
        for word in sets.words(language, category):
            tokens = tokenizer.encode(word, add_special_tokens=False)
            if not tokens:
                problems.append(("no token", language, category, word, "the tokenizer makes nothing of it"))
            elif tokenizer.unk_token_id is not None and tokenizer.unk_token_id in tokens:
                problems.append(("unknown token", language, category, word, "the tokenizer does not know it"))
    return problems
