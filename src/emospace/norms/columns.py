"""Which columns of a grid are the word and its ratings, told from what their headers say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from emospace.norms.headers import Header, parse_header, stem
from emospace.norms.numbers import is_number, written_plainly
from emospace.norms.questions import OpenQuestion
from emospace.norms.word_norms import TARGETS

MOST_LISTED = 12
WRITTEN_IN = {
    "ar": ("ARABIC",),
    "bg": ("CYRILLIC",),
    "bn": ("BENGALI",),
    "el": ("GREEK",),
    "fa": ("ARABIC",),
    "he": ("HEBREW",),
    "hi": ("DEVANAGARI",),
    "hy": ("ARMENIAN",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ka": ("GEORGIAN",),
    "ko": ("HANGUL", "CJK"),
    "mk": ("CYRILLIC",),
    "ru": ("CYRILLIC",),
    "sr": ("CYRILLIC", "LATIN"),
    "ta": ("TAMIL",),
    "th": ("THAI",),
    "uk": ("CYRILLIC",),
    "ur": ("ARABIC",),
    "zh": ("CJK",),
}
"""How Unicode names the letters of a language; languages not named here are written in Latin letters."""


@dataclass(frozen=True)
class Choice:
    """The columns chosen, and what else their headers said.

    Parameters
    ----------
    columns
        ``word``, targets, ``<target>_sd``, ``<target>_n`` -> column, from 0. Where a question is open, the first of
        the columns it names.
    language, script, scales, reversed
        As the headers of word and ratings name them.
    near
        Columns that name a rating nobody chose, with a word nothing is known of.
    questions
        What the headers leave open: two columns that could be the word or the same rating, two languages side by
        side, or a rating under a header that is not understood.
    """

    columns: Mapping[str, int]
    language: str = ""
    script: str = ""
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reversed: Mapping[str, bool] = field(default_factory=dict)
    near: tuple[int, ...] = ()
    questions: tuple[OpenQuestion, ...] = ()


@dataclass(frozen=True)
class _Table:
    what: str
    headers: Sequence[str]
    parsed: Sequence[Header]
    rows: Sequence[Sequence[str]]
    language: str
    script: str
    taken: frozenset[int]

    @cached_property
    def bare_letters(self) -> set[str]:
        """The targets named by a single letter without a statistic."""
        return {h.targets[0] for h in self.parsed if h.letter and not h.statistics}

    @cached_property
    def of_groups(self) -> set[str]:
        """The targets some column names for a part of the sample, without a statistic."""
        return {target for h in self.parsed if h.group and not h.statistics for target in h.targets}

    def rates(self, at: int, target: str) -> bool:
        """Return whether a column holds a figure of the target over all raters."""
        header = self.parsed[at]
        if target not in header.targets or header.group or header.translation or at in self.taken:
            return False
        if header.letter and not header.statistics and not {"valence", "arousal"} <= self.bare_letters:
            return False
        # "ValM" beside "ValF" is the mean of men.
        women = target in self.of_groups
        men = re.search(r"(?i)(^|[^a-z]|[a-z])m$", self.headers[at].strip())
        return not (women and men and header.statistics == {"mean"})

    def question(self, key: str, found: Sequence[int], why: str, otherwise: str = "") -> OpenQuestion:
        """Return which of some columns is meant; `why` ends where they are listed."""
        found, more = found[:MOST_LISTED], len(found) - MOST_LISTED
        names = [self.headers[at].strip() for at in found]
        if len(set(names)) < len(names):
            names = [f"#{at + 1}" for at in found]
        listed = ", ".join(f"'{self.headers[at].strip()}' (column {at + 1})" for at in found)
        listed += f" and {more:,} more" if more > 0 else ""
        return OpenQuestion(
            self.what,
            f"{why}: {listed}",
            f"Say which with --column {key}='{names[0]}', or in its card: [columns] {key} = \"{names[0]}\".{otherwise}",
            key=f"columns.{key}",
            choices=tuple(names),
        )

    def language_question(self, found: Sequence[int]) -> OpenQuestion:
        """Return which of the languages of some columns is meant."""
        languages = tuple(dict.fromkeys(self.parsed[at].language for at in found))
        listed = ", ".join(f"'{self.headers[at].strip()}'" for at in found)
        return OpenQuestion(
            self.what,
            f"it holds {len(languages)} languages side by side, {' and '.join(languages)}: {listed}",
            f"Say which with {' or '.join(f'--language {language}' for language in languages)}, or language = "
            f'"{languages[0]}" in its card.',
            key="language",
            choices=languages,
        )

    def cells(self, at: int, n: int = 200) -> list[str]:
        return [row[at].strip() for row in self.rows[:n] if at < len(row) and row[at].strip()]

    def numeric(self, at: int) -> bool:
        return _is_numeric(self.cells(at))


def choose_columns(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    what: str = "the file",
    language: str = "",
    script: str = "",
    said: Mapping[str, int] | None = None,
    targets: Sequence[str] = TARGETS,
    ask_word: bool = False,
) -> Choice | None:
    """Return the columns of word and ratings, or None if the headers name no word or no rating.

    A column of a part of the sample (men, the young, the highly educated), or with a word in its header that nothing
    is known of, is never taken for a rating; a translation is never taken for the word. Where such a column is all
    there is of valence or arousal, that is a question.

    Parameters
    ----------
    headers, rows
        Header cells and the rows below them.
    language, script
        What is known of the words; they decide between word columns.
    said
        Columns known otherwise; they are not looked for.
    targets
        The ratings wanted.
    ask_word
        Where no header names the word, ask which of the columns of text it is, if there are any.
    """
    columns = dict(said or {})
    parsed = [parse_header(cell) for cell in headers]
    table = _Table(what, headers, parsed, rows, language, script, frozenset(columns.values()))
    questions: list[OpenQuestion] = []
    for target in TARGETS:
        found = _means(table, target) if target not in columns else []
        languages = list(dict.fromkeys(parsed[at].language for at in found))
        if len(languages) > 1 and all(languages) and not table.language:
            questions.append(table.language_question(found))
            table = replace(table, language=languages[0])
            found = [at for at in found if parsed[at].language == languages[0]]
        if len(found) > 1 and target in targets:
            questions.append(table.question(target, found, f"{len(found)} columns could be {target}"))
        if found:
            columns[target] = found[0]
    rated = [target for target in TARGETS if target in columns]
    for target in ("valence", "arousal"):
        if target in targets and target not in rated and (candidates := _candidates(table, target, columns)):
            others = [t for t in TARGETS if t in rated and t != target]
            without = f" If it has none, leave it out: --targets {','.join(others)}." if others else ""
            questions.append(
                table.question(
                    target, candidates, f"no header says plainly which column is {target}; it may be", without
                )
            )
            columns[target] = candidates[0]
    rated = [target for target in TARGETS if target in columns]
    if not {"valence", "arousal"} & set(rated):
        return None
    if "word" not in columns:
        words = _words(table)
        if not words and ask_word and (words := _texts(table, columns)):
            questions.append(
                table.question("word", words, "no header says which column is the word; it may be")
            )
        elif not words:
            return None
        elif len(words) > 1:
            questions.append(table.question("word", words, f"{len(words)} columns could be the word"))
        columns["word"] = words[0]
    for target in rated:
        for statistic in ("sd", "n"):
            at = _beside(table, target, statistic, columns[target])
            if at is not None:
                columns.setdefault(f"{target}_{statistic}", at)
    named = [parsed[columns[key]].language for key in ("word", *rated)]
    near = [
        at
        for at, h in enumerate(parsed)
        if h.targets
        and h.unknown
        and not h.other
        and not h.group
        and h.statistics <= {"mean"}
        and not set(h.targets) & set(rated)
    ]
    return Choice(
        columns,
        next(filter(None, named), ""),
        parsed[columns["word"]].script,
        {t: scale for t in rated if (scale := parsed[columns[t]].scale)},
        {t: falls for t in rated if (falls := parsed[columns[t]].reversed) is not None},
        tuple(near),
        tuple(questions),
    )


def written_in(words: Sequence[str], language: str) -> float:
    """Return the share of words with most of their letters of the script the language is written in."""
    names = WRITTEN_IN.get(language, ("LATIN",))
    told = [[unicodedata.name(c, "").startswith(names) for c in word if c.isalpha()] for word in words]
    told = [letters for letters in told if letters]
    return sum(2 * sum(letters) >= len(letters) for letters in told) / len(told) if told else 1.0


def _means(table: _Table, target: str) -> list[int]:
    """Return the columns whose headers say that they are the mean ratings of all raters."""
    found = [
        at
        for at, header in enumerate(table.parsed)
        if table.rates(at, target)
        and header.targets == (target,)
        and not header.unknown
        and header.statistics in (frozenset(), {"mean"}, {"mean", "sd"})
    ]
    found = [at for at in found if table.parsed[at].whole] or found
    for language in (table.language, "") if table.language else ():
        if named := [at for at in found if table.parsed[at].language == language]:
            return named
    return found


def _candidates(table: _Table, target: str, columns: Mapping[str, int]) -> list[int]:
    """Return the columns of numbers that may be a rating no header says plainly.

    Those that name it with a word nothing is known of, or of a part of the sample. Valence that arousal stands
    without may also be any column of numbers in the range of arousal whose header is not understood.
    """
    free = [
        at
        for at, header in enumerate(table.parsed)
        if at not in table.taken
        and at not in columns.values()
        and not header.other
        and not header.word
        and header.statistics in (frozenset(), {"mean"}, {"mean", "sd"})
        and table.headers[at].strip()
    ]
    named = [
        at
        for at in free
        if table.parsed[at].targets == (target,)
        and not (table.parsed[at].letter and not table.parsed[at].statistics)
        and table.numeric(at)
    ]
    if named or target != "valence" or "arousal" not in columns:
        return named
    beside = _values(table.cells(columns["arousal"]))
    return [
        at
        for at in free
        if not table.parsed[at].targets and table.numeric(at) and _like(_values(table.cells(at)), beside)
    ]


def _values(cells: Sequence[str]) -> list[float]:
    found = [re.match(r"[-+]?(?:\d+(?:[.,]\d+)?|[.,]\d+)", written_plainly(cell)) for cell in cells]
    return [float(match[0].replace(",", ".")) for match in found if match]


def _like(values: Sequence[float], others: Sequence[float]) -> bool:
    """Return whether numbers could be ratings beside others: of their order, and no whole numbers all different."""
    if not values or not others:
        return False
    counted = len(set(values)) == len(values) and all(value.is_integer() for value in values)
    return not counted and max(map(abs, values)) <= 2 * max(map(abs, others)) + 1


def _beside(table: _Table, target: str, statistic: str, mean: int) -> int | None:
    """Return the column of the target's SD or rater count: its own, next after the mean; else one for all targets."""
    own: list[int] = []
    shared: list[int] = []
    named = stem(table.headers[mean])
    for at, header in enumerate(table.parsed):
        if header.statistics != {statistic} or header.unknown or header.group or at in table.taken:
            continue
        if table.rates(at, target) and header.language in ("", table.parsed[mean].language):
            (own if header.targets == (target,) else shared).append(at)
        elif not header.targets and named and stem(table.headers[at]) == named:
            own.append(at)
        elif statistic == "n" and not header.targets and not header.word and _are_counts(table.cells(at)):
            shared.append(at)
    own.sort(key=lambda at: (at < mean, abs(at - mean)))
    if own:
        return own[0]
    return shared[0] if len(shared) == 1 else None


def _words(table: _Table) -> list[int]:
    """Return the columns most likely the word; several where the headers do not decide."""
    ranks: dict[int, list[int]] = {}
    for at, header in enumerate(table.parsed):
        if at not in table.taken and (rank := _rank(table, at, header)) is not None:
            ranks.setdefault(rank, []).append(at)
    if not ranks:
        return []
    best = min(ranks)
    found = ranks[best]
    if best == 1 and 2 in ranks and not table.language:
        found = found + ranks[2]
    scripts = {table.parsed[at].script for at in found}
    if len(found) > 1 and scripts & {"Hans", "Hant"}:
        wanted = table.script or "Hans"
        found = [at for at in found if table.parsed[at].script == wanted] or found
    if len(found) > 1 and table.language:
        found = [at for at in found if written_in(table.cells(at), table.language) >= 0.5] or found
    return found


def _texts(table: _Table, columns: Mapping[str, int]) -> list[int]:
    """Return the columns whose cells are text, most of it different, under a header that says nothing else."""
    found = []
    for at, header in enumerate(table.parsed):
        cells = table.cells(at)
        if (
            at in columns.values()
            or header.targets
            or header.statistics
            or header.translation
            or header.other
        ):
            continue
        if table.headers[at].strip() and cells and not table.numeric(at) and len(set(cells)) > len(cells) / 2:
            found.append(at)
    return found


def _rank(table: _Table, at: int, header: Header) -> int | None:
    """Return how likely a column is the word, 0 before all; None if it is not."""
    if header.targets or header.statistics or header.unknown or header.group or header.translation:
        return None
    named = header.word or header.language or header.script or header.weak
    if not named or table.numeric(at):
        return None
    if header.word and header.language and header.language == table.language:
        return 0
    if header.word and not header.language:
        return 1
    if header.word and header.language != "en":
        return 2
    if header.language == table.language or (header.language and header.language != "en") or header.script:
        return 3
    if header.weak:
        return 4
    return 5


def _are_counts(cells: Sequence[str]) -> bool:
    """Return whether a column named "n" alone may count raters: a neighbourhood size is often 0 or 1."""
    return bool(cells) and all(re.fullmatch(r"[1-9]\d*([.,]0+)?", cell) and cell != "1" for cell in cells)


def _is_numeric(cells: Sequence[str]) -> bool:
    return bool(cells) and sum(is_number(cell) for cell in cells) > len(cells) / 2
