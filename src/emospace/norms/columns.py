"""Which columns of a grid are the word and its ratings, as their headers say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from emospace.norms.cards import OpenQuestion
from emospace.norms.cells import NUMBER, clean_word, is_number, written_plainly
from emospace.norms.grids import Grid
from emospace.norms.headers import Header, parse_header, stem
from emospace.norms.languages import written_in
from emospace.norms.layouts import HEADERS_ALONE, Layout
from emospace.norms.word_norms import TARGETS

MOST_LISTED = 12
SAMPLED = 200
"""Rows that show what a column holds."""


@dataclass(frozen=True)
class RatingsTable:
    """A grid under its header: which column is what.

    Parameters
    ----------
    headers
        Header of each column, ``upper: lower`` of two rows.
    first_row
        The row of the grid its data start at, from 0.
    columns
        ``word``, targets, ``<target>_sd``, ``<target>_n`` -> column, from 0. Where a question is open, the first of
        the columns it names.
    layout
        The published layout it has; one without a name where the headers speak for themselves.
    language, script
        Of the words, as card, layout or headers name them.
    given
        Keys of the columns a user named.
    questions
        What the headers leave open: two columns that could be the word or the same rating, two languages side by
        side, or a rating under a header that is not understood.
    """

    grid: Grid
    headers: tuple[str, ...]
    first_row: int
    columns: Mapping[str, int] = field(default_factory=dict)
    layout: Layout = HEADERS_ALONE
    language: str = ""
    script: str = ""
    given: frozenset[str] = frozenset()
    questions: tuple[OpenQuestion, ...] = ()

    @property
    def source(self) -> str:
        """The file, as errors name it."""
        return self.grid.source

    @property
    def rows(self) -> list[list[str]]:
        """The rows below the header."""
        return self.grid.rows[self.first_row :]

    @cached_property
    def parsed(self) -> list[Header]:
        """What each header says."""
        return [parse_header(header) for header in self.headers]

    @property
    def rated(self) -> list[str]:
        """The targets with a column of ratings."""
        return [target for target in TARGETS if target in self.columns]

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """Target -> scale, where its header names it."""
        return {t: scale for t in self.rated if (scale := self.parsed[self.columns[t]].scale)}

    @property
    def reversed(self) -> dict[str, bool]:
        """Target -> whether its scale runs from high to low, where its header says so."""
        return {t: falls for t in self.rated if (falls := self.parsed[self.columns[t]].reversed) is not None}

    @property
    def near(self) -> list[str]:
        """Headers that name a rating no column was chosen for, beside a part in no list."""
        return [
            header
            for header, h in zip(self.headers, self.parsed, strict=True)
            if (h.targets and h.unknown and not (h.unrelated or h.group) and h.statistics <= {"mean"})
            and not set(h.targets) & set(self.rated)
        ]

    def cells(self, at: int) -> list[str]:
        """Return the cells of a column."""
        return [row[at] if at < len(row) else "" for row in self.rows]

    @cached_property
    def words(self) -> list[str]:
        """The cells of the word column, cleaned."""
        return [clean_word(cell) for cell in self.cells(self.columns["word"])]

    def sample(self, at: int) -> list[str]:
        """Return the cells of a column in the first rows that are not empty."""
        rows = self.grid.rows[self.first_row : self.first_row + SAMPLED]
        return [row[at].strip() for row in rows if at < len(row) and row[at].strip()]

    def is_numeric(self, at: int) -> bool:
        """Return whether most cells of a column are numbers."""
        cells = self.sample(at)
        return bool(cells) and sum(map(is_number, cells)) > len(cells) / 2

    @cached_property
    def taken(self) -> frozenset[int]:
        """The columns whose meaning is known."""
        return frozenset(self.columns.values())

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
        men = header.statistics == {"mean"} and re.search(r"(?i)(^|[^a-z]|[a-z])m$", self.headers[at].strip())
        return not (men and target in self.of_groups)

    def question(self, key: str, columns: Sequence[int], why: str, otherwise: str = "") -> OpenQuestion:
        """Return which of some columns is meant; `why` ends where they are listed."""
        columns, more = columns[:MOST_LISTED], len(columns) - MOST_LISTED
        names = [self.headers[at].strip() for at in columns]
        listed = ", ".join(f"'{name}' (column {at + 1})" for name, at in zip(names, columns, strict=True))
        listed += f" and {more:,} more" if more > 0 else ""
        if len(set(names)) < len(names):
            names = [f"#{at + 1}" for at in columns]
        hint = (
            f"Say which with --column {key}='{names[0]}', or in its card: [columns] {key} = \"{names[0]}\"."
        )
        return OpenQuestion(
            self.source, f"{why}: {listed}", hint + otherwise, key=f"columns.{key}", choices=names
        )

    def language_question(self, columns: Sequence[int]) -> OpenQuestion:
        """Return which of the languages of some columns is meant."""
        languages = tuple(dict.fromkeys(self.parsed[at].language for at in columns))
        listed = ", ".join(f"'{self.headers[at].strip()}'" for at in columns)
        flags = " or ".join(f"--language {language}" for language in languages)
        return OpenQuestion(
            self.source,
            f"it holds {len(languages)} languages side by side, {' and '.join(languages)}: {listed}",
            f'Say which with {flags}, or language = "{languages[0]}" in its card.',
            key="language",
            choices=languages,
        )


def choose_columns(
    table: RatingsTable, targets: Sequence[str] = TARGETS, *, ask_word: bool = False
) -> RatingsTable | None:
    """Return the table with the columns of word and ratings, or None if the headers name no word or no rating.

    A column of a part of the sample (men, the young, the highly educated), or with a part in its header that is in no
    list, is never taken for a rating; a translation is never taken for the word. Where such a column is all there is
    of valence or arousal, that is a question. Columns the table has already are not looked for.

    Parameters
    ----------
    targets
        The ratings wanted.
    ask_word
        Where no header names the word, ask which of the columns of text it is, if there are any.
    """
    columns = dict(table.columns)
    parsed = table.parsed
    questions: list[OpenQuestion] = []
    for target in TARGETS:
        means = _means(table, target) if target not in columns else []
        languages = list(dict.fromkeys(parsed[at].language for at in means))
        if len(languages) > 1 and all(languages) and not table.language:
            questions.append(table.language_question(means))
            table = replace(table, language=languages[0])
            means = [at for at in means if parsed[at].language == languages[0]]
        if len(means) > 1 and target in targets:
            questions.append(table.question(target, means, f"{len(means)} columns could be {target}"))
        if means:
            columns[target] = means[0]
    rated = [target for target in TARGETS if target in columns]
    for target in ("valence", "arousal"):
        if target in targets and target not in rated and (candidates := _candidates(table, target, columns)):
            others = ",".join(t for t in rated if t != target)
            without = f" If it has none, leave it out: --targets {others}." if others else ""
            why = f"no header says plainly which column is {target}; it may be"
            questions.append(table.question(target, candidates, why, without))
            columns[target] = candidates[0]
    if not ({*TARGETS} - {"dominance"}) & columns.keys():
        return None
    if "word" not in columns:
        words, why = _words(table), ""
        if len(words) > 1:
            why = f"{len(words)} columns could be the word"
        elif not words and ask_word:
            words, why = _texts(table, columns), "no header says which column is the word; it may be"
        if not words:
            return None
        if why:
            questions.append(table.question("word", words, why))
        columns["word"] = words[0]
    rated = [target for target in TARGETS if target in columns]
    for target in rated:
        for statistic in ("sd", "n"):
            at = _beside(table, target, statistic, columns[target])
            if at is not None:
                columns.setdefault(f"{target}_{statistic}", at)
    named = [parsed[columns[key]].language for key in ("word", *rated)]
    return replace(
        table,
        columns={key: at for key, at in columns.items() if key.partition("_")[0] in ("word", *rated)},
        language=table.layout.language or next(filter(None, named), table.language),
        script=parsed[columns["word"]].script,
        questions=tuple(questions),
    )


def _means(table: RatingsTable, target: str) -> list[int]:
    """Return the columns whose headers say that they are the mean ratings of all raters."""
    means = [
        at
        for at, header in enumerate(table.parsed)
        if table.rates(at, target) and header.targets == (target,) and not header.unknown and header.is_mean
    ]
    means = [at for at in means if table.parsed[at].whole] or means
    for language in (table.language, "") if table.language else ():
        if named := [at for at in means if table.parsed[at].language == language]:
            return named
    return means


def _candidates(table: RatingsTable, target: str, columns: Mapping[str, int]) -> list[int]:
    """Return the columns of numbers that may be a rating no header says plainly.

    Those that name it with a part in no list, or of a part of the sample. Valence that arousal stands without may also
    be any column of numbers in the range of arousal whose header is not understood.
    """
    free = [
        at
        for at, header in enumerate(table.parsed)
        if not (at in table.taken or at in columns.values() or header.unrelated or header.word)
        and header.is_mean
        and table.headers[at].strip()
    ]
    named = [
        at
        for at in free
        if table.parsed[at].targets[:1] == (target,)
        and not (table.parsed[at].letter and not table.parsed[at].statistics)
        and table.is_numeric(at)
    ]
    if named or target != "valence" or "arousal" not in columns:
        return named
    arousal = _numbers(table.sample(columns["arousal"]))
    return [
        at
        for at in free
        if not table.parsed[at].targets
        and table.is_numeric(at)
        and _is_like(_numbers(table.sample(at)), arousal)
    ]


def _numbers(cells: Sequence[str]) -> list[float]:
    numbers = [NUMBER.match(written_plainly(cell)) for cell in cells]
    return [float(match[1].replace(",", ".")) for match in numbers if match]


def _is_like(values: Sequence[float], ratings: Sequence[float]) -> bool:
    """Return whether numbers could be ratings beside others: of their order, and no whole numbers all different."""
    if not values or not ratings:
        return False
    counted = len(set(values)) == len(values) and all(value.is_integer() for value in values)
    return not counted and max(map(abs, values)) <= 2 * max(map(abs, ratings)) + 1


def _beside(table: RatingsTable, target: str, statistic: str, mean: int) -> int | None:
    """Return the column of the target's SD or rater count: its own, next after the mean; else one for all targets."""
    of_target: list[int] = []
    shared: list[int] = []
    mean_stem = stem(table.headers[mean])
    for at, header in enumerate(table.parsed):
        if header.statistics != {statistic} or header.unknown or header.group or at in table.taken:
            continue
        if table.rates(at, target) and header.language in ("", table.parsed[mean].language):
            (of_target if header.targets == (target,) else shared).append(at)
        elif not header.targets and mean_stem and stem(table.headers[at]) == mean_stem:
            of_target.append(at)
        elif statistic == "n" and not header.targets and not header.word and _are_counts(table.sample(at)):
            shared.append(at)
    if of_target:
        return min(of_target, key=lambda at: (at < mean, abs(at - mean)))
    return shared[0] if len(shared) == 1 else None


def _are_counts(cells: Sequence[str]) -> bool:
    """Return whether a column named "n" alone may count raters: a neighbourhood size is often 0 or 1."""
    return bool(cells) and all(re.fullmatch(r"[1-9]\d*([.,]0+)?", cell) and cell != "1" for cell in cells)


def _words(table: RatingsTable) -> list[int]:
    """Return the columns most likely the word; several where the headers do not decide."""
    ranks: dict[int, list[int]] = {}
    for at in range(len(table.headers)):
        if (rank := _rank(table, at)) is not None:
            ranks.setdefault(rank, []).append(at)
    if not ranks:
        return []
    best = min(ranks)
    words = ranks[best]
    if best == 1 and not table.language:
        words = words + ranks.get(2, [])
    if len(words) > 1 and {table.parsed[at].script for at in words} & {"Hans", "Hant"}:
        script = table.script or "Hans"
        words = [at for at in words if table.parsed[at].script == script] or words
    if len(words) > 1 and table.language:
        words = [at for at in words if written_in(table.sample(at), table.language) >= 0.5] or words
    return words


def _rank(table: RatingsTable, at: int) -> int | None:
    """Return how likely a column is the word, 0 before all; None if it is not."""
    header = table.parsed[at]
    if header.targets or header.statistics or header.unknown or header.group or header.translation:
        return None
    named = header.word or header.language or header.script or header.weak
    if not named or at in table.taken or table.is_numeric(at):
        return None
    if header.word and header.language == table.language != "":
        return 0
    if header.word and header.language != "en":
        return 2 if header.language else 1
    if header.language == table.language or header.language not in ("", "en") or header.script:
        return 3
    return 4 if header.weak else 5


def _texts(table: RatingsTable, columns: Mapping[str, int]) -> list[int]:
    """Return the columns whose cells are text, most of it different, under a header that says nothing else."""
    texts = []
    for at, h in enumerate(table.parsed):
        if at in columns.values() or h.targets or h.statistics or h.translation or h.unrelated:
            continue
        cells = table.sample(at)
        if table.headers[at].strip() and not table.is_numeric(at) and len(set(cells)) > len(cells) / 2:
            texts.append(at)
    return texts
