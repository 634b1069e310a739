"""What the words of a file tell: the language they are in, and which way its scales run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from emospace.norms.columns import written_in
from emospace.norms.direction import (
    Anchors,
    anchor_lists,
    both_anchors,
    direction_questions,
    directions,
    likely_languages,
)
from emospace.norms.formats import Grid
from emospace.norms.headers import parse_header
from emospace.norms.numbers import is_number
from emospace.norms.questions import OpenQuestion
from emospace.norms.reading import clean_word
from emospace.norms.recognising import Recognised
from emospace.norms.word_norms import WordNorms

FEWEST_WRITTEN = 10


def words_of(grid: Grid, found: Recognised) -> list[str]:
    """Return the cells of the word column, cleaned."""
    at = found.columns["word"]
    return [clean_word(row[at]) for row in grid.rows[found.first_row :] if at < len(row)]


def language_question(words: Sequence[str], what: str) -> OpenQuestion:
    """Return the question for the language of words, with those they look like."""
    likely = [language for language, n in likely_languages(words).items() if n >= 3][:3]
    seen = f" (its words look like {' or '.join(likely)})" if likely else ""
    return OpenQuestion(
        what,
        f"nothing in it says which language its words are{seen}",
        f"Say so with --language {likely[0] if likely else 'de'}, or write language = "
        f"\"{likely[0] if likely else 'de'}\" in '{what}.toml'.",
        key="language",
        choices=tuple(likely),
    )


def other_language(
    grid: Grid, found: Recognised, language: str, what: str, *, said: bool
) -> list[OpenQuestion]:
    """Return the question a word column asks that is not in the language its words are said to be.

    Its letters are those of another script, or, where layout or headers alone say the language, the words everybody
    has (love, war) are those of another language.
    """
    words = words_of(grid, found)
    hits = likely_languages(words)
    other = next((name for name in hits if name != language), "")
    if not said and hits.get(other, 0) >= max(4, 3 * hits.get(language, 0)):
        about = found.layout.name or "its headers"
        return [
            OpenQuestion(
                what,
                f"{about} say{'s' * bool(found.layout.name)} that its words are '{language}', but they look like '{other}' "
                f"({', '.join(words[:3])}; {hits[other]} common words of '{other}', {hits.get(language, 0)} of '{language}')",
                f"Say --language {other}, or --language {language} if they are, or name another column with --column word=HEADER.",
                key="language",
                choices=(other, language),
            )
        ]
    share = written_in(words, language)
    if len(words) < FEWEST_WRITTEN or share >= 0.5:
        return []
    at = found.columns["word"]
    others = [
        i
        for i, header in enumerate(found.headers)
        if i != at and not parse_header(header).targets and _could_be_words(grid, found, i, language)
    ]
    named = tuple(found.headers[i] for i in others)
    fix = (
        f"Say --column word='{named[0]}'" if named else "Say another --language, or name the column of words"
    )
    return [
        OpenQuestion(
            what,
            f"only {share:.0%} of the words in column '{found.headers[at]}' are written as '{language}' is "
            f"({', '.join(words[:3])})",
            fix + (f" (or {', '.join(named[1:4])})." if len(named) > 1 else "."),
            key="columns.word",
            choices=named,
        )
    ]


def check_direction(
    norms: WordNorms,
    anchors: Callable[[str], Anchors | None] | None,
    translations: Iterable[tuple[str, str, Mapping[str, str]]],
    found: Recognised,
    card: Mapping[str, Any],
    what: str,
    settle: bool,
) -> tuple[str, list[OpenQuestion]]:
    """Return in words how the direction of the scales was checked, and what that leaves open.

    Anchors are words of the set's language; where those are too few for valence, translations into another.
    """

    def known(language: str) -> Anchors | None:
        return both_anchors(anchors(language) if anchors else None, anchor_lists().get(language))

    ours = known(norms.language)
    checkable = ours is not None
    by_target = {d.target: d for d in directions(norms, ours)} if ours else {}
    for language, header, words in translations:
        theirs = known(language)
        if theirs is None or ("valence" in by_target and by_target["valence"].enough):
            continue
        checkable = True
        for d in directions(norms, theirs, words, by=f"translations in '{header}'"):
            before = by_target.get(d.target)
            if before is None or min(d.n_high, d.n_low) > min(before.n_high, before.n_low):
                by_target[d.target] = d
    checked = [by_target[target] for target in norms.targets if target in by_target]
    said = "reversed" in card
    told = []
    for d in checked:
        against = " although said otherwise" if said else ""
        about = f"looks reversed{against}: " if d.reversed else "does not separate: " if d.mixed else ""
        told.append(about + d.evidence)
    few = (
        "too few anchor words are rated"
        if checkable
        else f"no words of '{norms.language}' are known that tell"
    )
    if "valence" in norms.targets and "valence" not in by_target:
        where = ", its header says how it runs" if "valence" in found.reversed else ""
        told.insert(0, f"not checked: {few}{where}")
    stated = "valence" in found.reversed or bool(found.layout.name)
    questions = direction_questions(checked, norms, what, stated=stated, checkable=checkable, settle=settle)
    return "; ".join(told) or f"not checked: {few}", [] if said else questions


def translations_of(grid: Grid, found: Recognised) -> list[tuple[str, str, dict[str, str]]]:
    """Return (language, header, word -> translation) of each column that holds the words in another language."""
    at = found.columns["word"]
    columns = []
    for i, header in enumerate(found.headers):
        said = parse_header(header)
        if i in found.columns.values() or said.targets or said.other or said.statistics or said.group:
            continue
        if not (said.translation or said.language):
            continue
        rows = [row for row in grid.rows[found.first_row :] if max(i, at) < len(row)]
        words = {clean_word(row[at]): re.split("[,;/(]", clean_word(row[i]))[0].strip() for row in rows}
        words = {word: re.sub("^to ", "", other) for word, other in words.items() if other}
        language = said.language or next(iter(likely_languages(list(words.values()))), "")
        if language:
            columns.append((language, header, words))
    return columns


def _could_be_words(grid: Grid, found: Recognised, at: int, language: str) -> bool:
    cells = [
        row[at].strip() for row in grid.rows[found.first_row :][:200] if at < len(row) and row[at].strip()
    ]
    text = [cell for cell in cells if not is_number(cell)]
    return len(text) > len(cells) / 2 and len(set(text)) > len(text) / 2 and written_in(text, language) >= 0.5
