"""Concept-sets from word-association norms: Small World of Words, USF, EAT."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emospace.concepts.association_files import Responses, read_answers
from emospace.concepts.files import valid_carriers
from emospace.concepts.loading import Selection, bundled, bundled_languages, categories
from emospace.concepts.sets import COLUMNS, ConceptSets, folded
from emospace.display import say
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import pandas as pd


def import_associations(
    path: Path | str,
    language: str,
    *,
    selection: Selection = "all",
    labels: Mapping[str, Sequence[str]] | None = None,
    carriers: Sequence[str] | None = None,
    responses: Responses | None = None,
    threshold: float = 0.01,
    min_count: int = 2,
    min_words: int = 10,
    max_words: int = 50,
) -> ConceptSets:
    """Build concept-sets from a word-association file: Small World of Words, USF or EAT.

    The cues of a category are its label lemmas. Over those found, a response's strength is the share of all
    answers it got, sum(R123) / sum(N); its weight is that strength over the strongest one's. Single-token cues
    belong to the set with weight 1. Spellings that differ in case alone are one word, written as most people
    wrote it. What is left out is counted in `ConceptSets.notes` and shown to the user.

    Parameters
    ----------
    path
        Comma-, semicolon- or tab-separated: strengths (columns cue, response, R123, N, R123.Strength, or the same of
        R1; N may be missing) or participants' answers (cue, R1, R2, R3), which are counted; the USF norms (CUE, TARGET, #G,
        #P, FSG) as a table, as their web pages or as XML; the Edinburgh Associative Thesaurus as JSON or XML.
    language
        ISO 639-1 code of the file's words, such as ``en``.
    selection
        Categories wanted, as in `categories`.
    labels
        Category -> its cues, the label first; None takes the bundled label lemmas of the language.
    carriers
        Sentences with ``{word}`` in them; None takes the language's bundled ones, or else the bare word.
    responses
        Answers that count: ``R1``, a participant's first, or ``R123``, all three; None takes ``R123`` where the file
        has it.
    threshold
        Least strength, a share of all answers in 0..1.
    min_count
        Least number of answers; of a file with strengths alone it is not known, and not asked.
    min_words, max_words
        A category with fewer concepts is left out; of more, the strongest are kept.

    Raises
    ------
    EmospaceError
        If the file, a column, the cues or any usable category is missing.

    References
    ----------
    De Deyne et al. (2019), The "Small World of Words" English word association norms for over 12,000 cue
    words. Behavior Research Methods 51, 987-1006.
    """
    import pandas as pd

    path = Path(path)
    bundled_sets = bundled(language) if language in bundled_languages() else None
    if labels is None:
        if bundled_sets is None:
            raise EmospaceError(
                f"language '{language}'",
                "its categories have no label words to look up as cues",
                "Give them: labels={'joy': ['joy', 'joyful'], ...}.",
            )
        labels = bundled_sets.labels[language]
    wanted = [
        c.name for c in categories(selection, extra=list(labels)) if c.name in labels or selection != "all"
    ]
    read = read_answers(path, responses)
    answers, notes = read.table, list(read.notes)
    least = min_count if read.counted else 0

    frames: list[pd.DataFrame] = []
    kept: dict[str, tuple[str, ...]] = {}
    left: dict[str, int] = {}
    for category in wanted:
        lemmas = tuple(labels.get(category, ()))
        rows = answers[answers["cue"].isin({folded(lemma) for lemma in lemmas})]
        if rows.empty:
            notes.append(
                f"{category}: left out, none of its cues ({', '.join(lemmas) or 'none given'}) is there"
            )
            continue
        concepts, dropped = _associated(rows, lemmas, threshold, least, max_words)
        for reason, count in dropped.items():
            left[reason] = left.get(reason, 0) + count
        if len(concepts) < min_words:
            notes.append(f"{category}: left out, {len(concepts)} concepts, fewer than {min_words}")
            continue
        frames.append(concepts.assign(language=language, category=category))
        kept[category] = lemmas
    if not frames:
        raise EmospaceError(
            str(path),
            f"no category gets {min_words} concepts from it",
            "Check that the cues are in the language named, or lower threshold, min_count or min_words.",
        )
    notes = [*notes, *(f"responses left out, {reason}: {count}" for reason, count in left.items())]
    say(f"{path}: concept-sets for {len(kept)} of {len(wanted)} categories")
    for note in notes:
        say(f"  {note}")
    if carriers is None:
        carriers = bundled_sets.carriers[language] if bundled_sets else ("{word}",)
    return ConceptSets(
        table=pd.concat(frames, ignore_index=True)[list(COLUMNS)],
        labels={language: kept},
        carriers={language: valid_carriers(path, carriers)},
        provenance="associations",
        names={language: bundled_sets.names[language] if bundled_sets else language},
        notes=tuple(notes),
        families=bundled_sets.families if bundled_sets else {},
    )


def _associated(
    rows: pd.DataFrame, lemmas: Sequence[str], threshold: float, min_count: int, max_words: int
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return a category's concepts (word, weight) and how many responses were left out, by reason."""
    import pandas as pd

    total = rows.drop_duplicates("cue")["total"].sum()
    keyed = rows.assign(key=rows["response"].map(folded))
    spelled: pd.DataFrame = keyed.groupby(["key", "response"])["count"].sum().reset_index()
    spelled = spelled.sort_values(["count", "response"], ascending=[False, True])
    by_key = spelled.groupby("key", sort=False)
    pooled = pd.DataFrame({"word": by_key["response"].first(), "count": by_key["count"].sum()})
    pooled = pooled.sort_values(["count", "word"], ascending=[False, True])

    single = pooled["word"].map(lambda word: word != "" and not re.search(r"[\s_]", word))
    lettered = pooled["word"].map(lambda word: any(letter.isalpha() for letter in word))
    strong = (pooled["count"] / total >= threshold) & (pooled["count"] >= min_count)
    cues_given = set(rows["cue"])
    cues = {folded(cue): cue for cue in lemmas if folded(cue) in cues_given and not re.search(r"[\s_]", cue)}
    kept = pooled[single & lettered & strong & ~pooled.index.isin(cues)]
    weights = kept["count"] / kept["count"].max()
    concepts = pd.DataFrame(
        {"word": [*cues.values(), *kept["word"]], "weight": [*[1.0] * len(cues), *weights]},
    )
    dropped = {
        "several words": int((~single).sum()),
        "no letters": int((single & ~lettered).sum()),
        "too weak": int((single & lettered & ~strong).sum()),
        f"beyond the strongest {max_words}": max(0, len(concepts) - max_words),
    }
    return concepts[:max_words], {reason: count for reason, count in dropped.items() if count}
