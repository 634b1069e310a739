"""Word ratings on a declared scale, with what is known of their raters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import content_hash
from emospace.errors import EmospaceError, unknown
from emospace.norms.cells import unclean

if TYPE_CHECKING:
    import pandas as pd

EMOTIONS = ("happiness", "anger", "fear", "sadness", "disgust", "surprise")
"""How much of one emotion a word evokes, as norms of discrete emotions rate it (1 none, 5 very much)."""

TARGETS = ("valence", "arousal", "dominance", *EMOTIONS)
"""What norms rate. The names of a target's columns are those of its entry in ``data/norms/headers.toml``."""

COUNTED = {
    "merged": "duplicate rows that agree, merged",
    "blank": "blank lines",
    "unread": "SD or n that cannot be read, taken as unknown",
}
"""Key of `WordNorms.reading` that counts rows or cells -> the finding of `check_norms`."""

LISTED = {
    "near": "columns that may hold a rating, not taken",
    "suspects": "sources that may lie on a narrower scale",
    "mean_and_sd_in_one_cell": "mean and SD read from one cell",
    "one_in_simplified": "words that are one in simplified script",
}
"""Key of `WordNorms.reading` that lists words or columns -> the finding."""

Finding = tuple[str, str, int, str]
"""Problem, target, number of words or rows, detail."""

SENSE = r"^\S.*?\s*[(（][^()（）]+[)）]$"


def rejection_table(rows: list[tuple[int, str, str]]) -> pd.DataFrame:
    """Return the rows left out of a set as a table ``[row, word, reason]``."""
    import pandas as pd

    return pd.DataFrame(rows, columns=["row", "word", "reason"])


@dataclass(frozen=True, eq=False)
class WordNorms:
    """Human ratings of words, one row a word; a rating nobody gave is NaN, and every word has at least one.

    Parameters
    ----------
    name
        The set, e.g. ``en_glasgow_2019``.
    language
        ISO 639-1 code.
    table
        ``[n_words]`` rows: ``word``; for each target ``<target>`` (mean rating, on the published scale) and,
        where known, ``<target>_sd`` (over raters) and ``<target>_n`` (raters of that word).
    scales
        Target -> (lowest, highest) answer the raters could give.
    targets
        Those of `TARGETS` that were rated.
    licence, citation, note
        The source's licence, the paper to cite, and what a reader of results should know; empty where nothing is said.
    source
        Where the ratings come from: a path, or an address with the file's sha256.
    redistributable
        Whether the licence lets the ratings be passed on; only such sets are bundled.
    rejected
        ``[row, word, reason]``: rows of the source left out; ``row`` counts as a spreadsheet does (header = 1).
    reading
        How the file was read: layout, encoding, separator, decimal, rows, blank lines, merged duplicates, what stood
        in place of missing ratings.
    script
        Of Chinese words: ``Hans`` (simplified) or ``Hant`` (traditional); empty for other languages.
    senses_left_out
        How many sense-marked entries `without_senses` took away.
    """

    name: str
    language: str
    table: pd.DataFrame
    scales: Mapping[str, tuple[float, float]]
    targets: tuple[str, ...]
    licence: str = ""
    citation: str = ""
    note: str = ""
    source: str = ""
    redistributable: bool = False
    rejected: pd.DataFrame = field(default_factory=lambda: rejection_table([]))
    reading: Mapping[str, Any] = field(default_factory=dict)
    script: str = ""
    senses_left_out: int = 0

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self.table)

    @property
    def words(self) -> tuple[str, ...]:
        """The rated words, in the order of the source."""
        return tuple(self.table["word"])

    def ratings(self, target: str) -> pd.Series:
        """Return the mean ratings ``[n_words]`` on the published scale, indexed by word; NaN where there is none.

        Parameters
        ----------
        target
            One of `targets`, such as ``valence``; another one raises `EmospaceError`.
        """
        import pandas as pd

        self._check(target)
        return pd.Series(self.table[target].to_numpy(float), index=list(self.words), name=target)

    def unit(self, target: str) -> pd.Series:
        """Return the mean ratings ``[n_words]`` mapped from the published scale to -1..1, indexed by word.

        Parameters
        ----------
        target
            As in `ratings`.
        """
        low, high = self.scales[self._check(target)]
        return 2 * (self.ratings(target) - low) / (high - low) - 1

    def reliability(self, target: str) -> float | None:
        """Return the reliability of the mean ratings, ``1 - mean(sd^2 / n) / var(means)``.

        The error variance of a mean is its rater variance over its number of raters (classical test theory,
        Lord & Novick 1968). None where SD or n are unknown for more than half of the words, or all are rated alike.

        Parameters
        ----------
        target
            As in `ratings`.
        """
        self._check(target)
        if not {f"{target}_sd", f"{target}_n"} <= set(self.table.columns):
            return None
        mean, sd, n = (self.table[c].to_numpy(float) for c in (target, f"{target}_sd", f"{target}_n"))
        known = np.isfinite(mean) & np.isfinite(sd) & (n >= 2)
        if known.sum() < max(2, len(self) / 2) or np.ptp(mean[known]) < 1e-9:
            return None
        return float(1 - np.mean(sd[known] ** 2 / n[known]) / np.var(mean[known], ddof=1))

    def ceiling(self, target: str) -> float | None:
        """Return the highest r a perfect predictor could reach: the square root of the reliability.

        Parameters
        ----------
        target
            As in `ratings`; None is returned where `reliability` is None.
        """
        reliability = self.reliability(target)
        return None if reliability is None else float(np.sqrt(max(reliability, 0.0)))

    @property
    def sense_marked(self) -> np.ndarray:
        """Which words ``[n_words]`` name a sense in brackets, as "bank (money)" does."""
        return self.table["word"].str.match(SENSE).to_numpy(bool)

    def without_senses(self) -> WordNorms:
        """Return the norms without sense-marked entries; `senses_left_out` and the note say how many.

        A model that reads "bank (money)" reads the gloss as well, so such an entry is no bare word.
        """
        marked = self.sense_marked
        n = int(marked.sum())
        if not n:
            return self
        note = f"{n:,} sense-marked entries left out"
        return replace(
            self,
            table=self.table[~marked].reset_index(drop=True),
            note=f"{self.note}; {note}" if self.note else note,
            senses_left_out=self.senses_left_out + n,
        )

    def only(self, targets: tuple[str, ...]) -> WordNorms:
        """Return the norms with these targets alone, in the order of `TARGETS`, and the words rated on any of them.

        Parameters
        ----------
        targets
            Some of `targets`; another one raises `EmospaceError`.
        """
        kept = tuple(t for t in TARGETS if t in {self._check(target) for target in targets})
        columns = [c for c in self.table.columns if c == "word" or c.rpartition("_")[0] in kept or c in kept]
        rated = self.table[list(kept)].notna().any(axis=1)
        return replace(
            self,
            table=self.table.loc[rated, columns].reset_index(drop=True),
            targets=kept,
            scales={t: self.scales[t] for t in kept},
        )

    def complete(self) -> WordNorms:
        """Return the norms with the words alone that are rated on every target."""
        rated = self.table[list(self.targets)].notna().all(axis=1)
        return self if rated.all() else replace(self, table=self.table[rated].reset_index(drop=True))

    @property
    def content_hash(self) -> str:
        """16 hex digits that change with any word, rating, scale or the language."""
        numbers = self.table.drop(columns="word")
        return content_hash(
            self.language,
            {t: self.scales[t] for t in self.targets},
            list(self.words),
            list(numbers.columns),
            numbers.to_numpy(float),
        )

    def _check(self, target: str) -> str:
        if target in TARGETS and target not in self.targets:
            raise EmospaceError(
                f"norms '{self.name}'", f"they hold no {target}", f"Rated are: {', '.join(self.targets)}."
            )
        if target not in self.targets:
            raise unknown("target", target, self.targets)
        return target


def check_norms(norms: WordNorms) -> pd.DataFrame:
    """Return what a user of a set should know: a table ``[problem, target, n, detail]``, one row a finding.

    ``n`` counts the words (or rows of the source) concerned; ``target`` is empty where none is.

    Parameters
    ----------
    norms
        Bundled norms or a user's own, from `load_norms` or `norms_from_table`.
    """
    import pandas as pd

    findings = [
        (problem, target, n, detail)
        for problem, target, n, detail in (*_of_reading(norms), *_of_words(norms))
        if n
    ]
    return pd.DataFrame(findings, columns=["problem", "target", "n", "detail"])


def _of_reading(norms: WordNorms) -> Iterator[Finding]:
    """Yield what the file of the norms held besides usable ratings, and how it was taken."""
    for kind, group in norms.rejected.groupby(norms.rejected["reason"].map(_kind), sort=False):
        means = (
            " (--duplicates mean takes the mean of such rows, with SD and n)"
            if "more than once" in kind
            else ""
        )
        yield f"rejected: {kind}", "", len(group), group["reason"].iloc[0] + means
    reading = norms.reading
    for key, problem in COUNTED.items():
        yield problem, "", int(reading.get(key, 0)), ""
    for target, cells in reading.get("missing", {}).items():
        detail = ", ".join(f"{cell} {count:,}" for cell, count in cells.items())
        yield "no rating, the row's others are kept", target, sum(cells.values()), detail
    for code, n in reading.get("codes", {}).items():
        yield "looks like a code for a missing answer", "", n, f"{code}: say --missing {code}"
    for kind, n in reading.get("cleaned", {}).items():
        yield f"words cleaned: {kind}", "", n, ""
    yield _words("words rated more than once, their mean taken", reading.get("averaged", ()))
    if not reading.get("verified", True):
        seen = "the published file was not seen: check scale and columns"
        yield "unverified layout", "", len(norms), seen
    for key, problem in LISTED.items():
        yield _words(problem, reading.get(key, ()))
    n = int(reading.get("traditional_words_merged", 0))
    yield "traditional words that share one simplified word", "", n, "see rows left out and merged"
    direction = reading.get("direction", "")
    if "does not separate" in direction:
        yield "positive and negative words are rated alike", "valence", len(norms), direction
    if "looks reversed" in direction:
        yield "scale looks reversed", "", len(norms), direction


def _of_words(norms: WordNorms) -> Iterator[Finding]:
    """Yield what is odd about the words and their figures."""
    words = norms.table["word"]
    several = words.str.contains(r"\s").to_numpy() & ~norms.sense_marked
    yield _words("sense-marked entries", words[norms.sense_marked])
    yield _words("entries of several words", words[several])
    yield _words("words that differ by case alone", words[words.str.casefold().duplicated(keep=False)])
    for kind, unclean_words in unclean(words.tolist()).items():
        problem, target, n, examples = _words(f"words not clean: {kind}", unclean_words)
        yield problem, target, n, f"{examples}: --clean cleans them"
    yield _words("words that end in a digit", words[words.str.contains(r"\d$", regex=True)])
    for target in norms.targets:
        ratings, (low, high) = norms.table[target], norms.scales[target]
        if ratings.max() - ratings.min() < (high - low) / 2:
            filled = f"{ratings.min():g} to {ratings.max():g} on {low:g}..{high:g}"
            yield "ratings fill less than half of the scale", target, len(norms), filled
        for statistic, called in (("sd", "SD"), ("n", "rater count")):
            column = f"{target}_{statistic}"
            if column in norms.table:
                yield _words(f"no {called}", words[norms.table[column].isna()], target)
                continue
            near = ", ".join(map(repr, norms.reading.get("spread_not_taken", {}).get(column, ())))
            why = f"not read from {near}: say --column {column}=HEADER" if near else "the set has none"
            yield f"no {called}: no reliability can be given", target, len(norms), why
        if f"{target}_sd" in norms.table:
            sd = norms.table[f"{target}_sd"]
            apart = (ratings - ratings.round()).abs() > 0.05
            whole = float(low).is_integer() and float(high).is_integer()
            yield _words("SD 0 with a mean no single answer gives", words[(sd == 0) & apart & whole], target)
            raters = norms.table.get(f"{target}_n", sd * np.nan).fillna(np.inf).clip(lower=2)
            widest = np.sqrt((ratings - low) * (high - ratings) / (1 - 1 / raters)) + 0.02 * (high - low)
            yield _words("SD larger than the scale allows", words[sd > widest], target)


def _kind(reason: str) -> str:
    return reason.partition(":")[0]


def _words(problem: str, words: Sequence[str] | pd.Series, target: str = "") -> Finding:
    """Return the finding about some words, the first of them as examples."""
    return problem, target, len(words), ", ".join(words[:3]) + (", ..." if len(words) > 3 else "")
