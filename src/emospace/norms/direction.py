"""Whether a scale runs the right way: words everybody likes must be rated above words nobody does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.norms.cards import OpenQuestion
from emospace.norms.cells import clean_word
from emospace.norms.languages import Anchors, anchor_lists, likely_languages, matched

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.norms.columns import RatingsTable
    from emospace.norms.word_norms import WordNorms

AnchorsOf = Callable[[str], Anchors | None]
"""Language -> its anchors, or None where there are none."""

ANCHORS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "valence": (
        ("joy", "love", "gratitude", "amusement", "relief", "pride", "satisfaction", "calmness"),
        ("anger", "disgust", "fear", "sadness", "grief", "horror", "anxiety", "remorse"),
    ),
    "arousal": (("excitement", "anger", "fear", "horror"), ("calmness", "boredom", "relief")),
}
"""Target -> categories whose concepts are rated high, and low, wherever people were asked."""

FEWEST: Mapping[str, int] = {"valence": 4, "arousal": 8}
"""Target -> anchors of each side below which their ratings alone decide nothing."""

ALPHA = 0.001
APART = 0.05
SMALL = 50
"""Words below which a set may hold too few anchors without a question."""

_NO_WORDS: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())


@dataclass(frozen=True)
class Direction:
    """How anchor words of one target are rated: their numbers and mean ratings, and p of a reversed scale.

    Parameters
    ----------
    p
        Of Welch's one-sided t test that words to be rated high are rated below those to be rated low.
    sorted
        1 where every word of the high side is rated above every one of the low side, -1 the other way round, else 0.
    by
        What the anchors are, where not words of the set's language: "translations in 'English'".
    """

    target: str
    n_high: int
    n_low: int
    mean_high: float
    mean_low: float
    p: float
    sorted: int = 0
    by: str = ""

    @property
    def n(self) -> int:
        """The anchors of the side that has fewer."""
        return min(self.n_high, self.n_low)

    @property
    def enough(self) -> bool:
        """Whether there are anchors enough on both sides for their ratings to decide."""
        return self.n >= FEWEST[self.target]

    @property
    def reversed(self) -> bool:
        """Whether the scale looks reversed: p < .001; of 2 or 3 words of valence, if all lie the other way round."""
        return (
            self.p < ALPHA if self.enough else self.target == "valence" and self.sorted == -1 and self.n > 1
        )

    @property
    def expected(self) -> bool:
        """Whether the scale runs as it should: 1 - p < .05; of few words of valence, if all lie as they should."""
        return 1 - self.p < APART if self.enough else self.target == "valence" and self.sorted == 1

    @property
    def mixed(self) -> bool:
        """Whether anchors enough of valence are rated alike, or so widely that they show no direction."""
        return self.target == "valence" and self.enough and not (self.reversed or self.expected)

    @property
    def evidence(self) -> str:
        """The figures in words."""
        if self.enough:
            verdict = "as expected" if self.expected else f"Welch p = {self.p:.1g}"
        elif self.expected:
            verdict = "as expected, few words"
        else:
            verdict = "all the other way round, few words" if self.reversed else "too few words to tell"
        by = f" by {self.by}" if self.by else ""
        return (
            f"{self.n_high} words for high {self.target}{by} are rated {self.mean_high:.2f} on average, "
            f"{self.n_low} for low {self.target} {self.mean_low:.2f} ({verdict})"
        )


def anchor_words(sets: ConceptSets, language: str) -> Anchors:
    """Return the concepts of `ANCHORS`' categories, by target: those to be rated high, those to be rated low.

    A word of both sides is left out; a category the language lacks is passed over.
    """

    def words(categories: Sequence[str]) -> frozenset[str]:
        labelled = (category for category in categories if category in sets.labels[language])
        return frozenset(matched(word) for category in labelled for word in sets.words(language, category))

    sides = {target: (words(high), words(low)) for target, (high, low) in ANCHORS.items()}
    return {target: (high - low, low - high) for target, (high, low) in sides.items()}


def directions(
    norms: WordNorms, anchors: Anchors, translations: Mapping[str, str] | None = None, by: str = ""
) -> tuple[Direction, ...]:
    """Return how the anchors are rated, for each target of the norms that has some on both sides.

    Words in traditional script are matched by their simplified form, in which the bundled concepts are written.

    Parameters
    ----------
    translations
        Word -> what it is matched by, where the anchors are of another language; `by` says what that is.
    """
    from scipy.stats import ttest_ind

    measured = []
    for target in norms.targets:
        ratings = norms.ratings(target).dropna()
        words = ratings.index.map(
            lambda word: matched(word if translations is None else translations.get(word, ""))
        )
        high, low = (ratings[words.isin(side)].to_numpy(float) for side in anchors.get(target, _NO_WORDS))
        if not min(len(high), len(low)):
            continue
        p = 0.5
        if min(len(high), len(low)) > 1 and np.ptp(np.concatenate([high, low])) > 0:
            p = float(ttest_ind(high, low, equal_var=False, alternative="less").pvalue)
            p = p if np.isfinite(p) else float(high.mean() >= low.mean())
        order = int(high.min() > low.max()) - int(high.max() < low.min())
        means = float(high.mean()), float(low.mean())
        measured.append(Direction(target, len(high), len(low), *means, p, order, by))
    return tuple(measured)


def check_direction(
    norms: WordNorms, table: RatingsTable, card: Mapping[str, Any], anchors: AnchorsOf | None, settle: bool
) -> tuple[str, list[OpenQuestion]]:
    """Return in words how the direction of the scales was checked, and what that leaves open.

    Anchors are words of the set's language; where those are too few for valence, translations into another.

    Parameters
    ----------
    anchors
        Language -> anchors besides the bundled ones.
    settle
        Whether to ask too where a set of `SMALL` words or more holds too few of its language's anchors.
    """
    set_anchors = _all_anchors(norms.language, anchors)
    checkable = set_anchors is not None
    by_target = {d.target: d for d in directions(norms, set_anchors)} if set_anchors else {}
    for language, header, words in _translations(table):
        theirs = _all_anchors(language, anchors)
        if theirs is None or ("valence" in by_target and by_target["valence"].enough):
            continue
        checkable = True
        for d in directions(norms, theirs, words, by=f"translations in '{header}'"):
            if d.target not in by_target or d.n > by_target[d.target].n:
                by_target[d.target] = d
    measured = [by_target[target] for target in norms.targets if target in by_target]
    given = "reversed" in card
    against = " although said otherwise" if given else ""
    report = [
        (f"looks reversed{against}: " if d.reversed else "does not separate: " if d.mixed else "")
        + d.evidence
        for d in measured
    ]
    unchecked = (
        "too few anchor words are rated"
        if checkable
        else f"no words of '{norms.language}' are known that tell"
    )
    stated = "valence" in table.reversed
    if "valence" in norms.targets and "valence" not in by_target:
        report.insert(0, f"not checked: {unchecked}{', its header says how it runs' * stated}")
    text = "; ".join(report) or f"not checked: {unchecked}"
    if given:
        return text, []
    questions: list[OpenQuestion] = []

    def ask(why: str, targets: Sequence[str], fix: str) -> None:
        flags = " ".join(f"--reversed {target}" for target in targets)
        listed = ", ".join(f'"{target}"' for target in targets)
        hint = (
            f"{fix} {flags} or reversed = [{listed}] in its card; if not, --reversed none or reversed = []."
        )
        questions.append(OpenQuestion(table.source, why, hint, key="reversed", choices=targets))

    if wrong := [d for d in measured if d.reversed]:
        names = [d.target for d in wrong]
        evidence = "; ".join(d.evidence for d in wrong)
        ask(f"its {' and '.join(names)} scale looks reversed: {evidence}", names, "If it is, say")
    if "valence" not in norms.targets:
        return text, questions
    valence = by_target.get("valence")
    if valence and valence.mixed:
        ask(
            f"positive and negative words are rated alike on valence: {valence.evidence}",
            ["valence"],
            "Check that word and valence are the right columns (--column valence=HEADER). If they are and the scale "
            "runs from positive to negative, say",
        )
    settled = valence and (valence.expected or valence.reversed or valence.mixed)
    wanted = not checkable or (settle and len(norms) >= SMALL)
    if wanted and not (settled or stated or table.layout.name):
        reason = unchecked if not checkable else "too few of its words tell"
        ask(
            f"nothing tells whether its valence runs from negative to positive or the other way ({reason})",
            ["valence"],
            "If it runs from positive to negative, say",
        )
    return text, questions


def turned(values: Sequence[float], scale: tuple[float, float]) -> np.ndarray:
    """Return ratings of a reversed scale the other way round."""
    low, high = scale
    return low + high - np.asarray(values, float)


def _all_anchors(language: str, more: AnchorsOf | None) -> Anchors | None:
    """Return the bundled anchors of a language with those given; a word on both sides is left out."""
    bundled, given = anchor_lists().get(language), more(language) if more else None
    if bundled is None or given is None:
        return given or bundled
    joined = {}
    for target in {**given, **bundled}:
        high, low = (
            given.get(target, _NO_WORDS)[side] | bundled.get(target, _NO_WORDS)[side] for side in (0, 1)
        )
        joined[target] = (high - low, low - high)
    return joined


def _translations(table: RatingsTable) -> list[tuple[str, str, dict[str, str]]]:
    """Return (language, header, word -> translation) of each column that holds the words in another language."""
    columns = []
    for at, header in enumerate(table.parsed):
        if at in table.columns.values() or not (header.translation or header.language):
            continue
        if header.targets or header.unrelated or header.statistics or header.group:
            continue
        first = (re.split("[,;/(]", clean_word(cell))[0].strip() for cell in table.cells(at))
        pairs = (
            (word, re.sub("^to ", "", meaning)) for word, meaning in zip(table.words, first, strict=True)
        )
        translations = {word: meaning for word, meaning in pairs if meaning}
        language = header.language or next(iter(likely_languages(list(translations.values()))), "")
        if language:
            columns.append((language, table.headers[at], translations))
    return columns
