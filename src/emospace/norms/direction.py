"""Whether a scale runs the right way: words everybody likes must be rated above words nobody does."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from emospace.norms.questions import OpenQuestion
from emospace.norms.scripts import simplified

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.norms.word_norms import WordNorms

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

_NOBODY: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
_LETTERS = str.maketrans("يك", "یک", "\u0640")
ALPHA = 0.001
APART = 0.05
SMALL = 50
"""Words below which a set may hold too few anchors without a question."""

Anchors = Mapping[str, tuple[frozenset[str], frozenset[str]]]


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
    def enough(self) -> bool:
        """Whether there are anchors enough on both sides for their ratings to decide."""
        return min(self.n_high, self.n_low) >= FEWEST[self.target]

    @property
    def reversed(self) -> bool:
        """Whether the scale looks reversed: p < .001; of 2 or 3 words of valence, if all lie the other way round."""
        if self.enough:
            return self.p < ALPHA
        return self.target == "valence" and self.sorted == -1 and min(self.n_high, self.n_low) > 1

    @property
    def expected(self) -> bool:
        """Whether the scale runs as it should: 1 - p < .05; of few words of valence, if all lie as they should."""
        if self.enough:
            return 1 - self.p < APART
        return self.target == "valence" and self.sorted == 1

    @property
    def mixed(self) -> bool:
        """Whether anchors enough of valence are rated alike, or so widely that they tell no direction."""
        return self.target == "valence" and self.enough and not (self.reversed or self.expected)

    @property
    def evidence(self) -> str:
        """The figures in words."""
        if self.enough:
            verdict = "as expected" if self.expected else f"Welch p = {self.p:.1g}"
        else:
            verdict = (
                "as expected, few words"
                if self.expected
                else "all the other way round, few words"
                if self.reversed
                else "too few words to tell"
            )
        by = f" by {self.by}" if self.by else ""
        return (
            f"{self.n_high} words for high {self.target}{by} are rated {self.mean_high:.2f} on average, "
            f"{self.n_low} for low {self.target} {self.mean_low:.2f} ({verdict})"
        )


@cache
def anchor_lists() -> Mapping[str, Anchors]:
    """Return language -> the words of ``data/norms/anchors.toml``: of valence, those rated high, those rated low."""
    text = (files("emospace") / "data" / "norms" / "anchors.toml").read_text(encoding="utf-8")
    return {
        language: {
            "valence": (
                frozenset(matched(word) for word in sides["positive"].split(", ")),
                frozenset(matched(word) for word in sides["negative"].split(", ")),
            )
        }
        for language, sides in tomllib.loads(text).items()
    }


def matched(word: str) -> str:
    """Return a word as anchors are compared: without case, in simplified script, Persian letters for Arabic ones."""
    composed = unicodedata.normalize("NFC", word).casefold().translate(_LETTERS)
    return simplified(composed.strip())


def both_anchors(ours: Anchors | None, others: Anchors | None) -> Anchors | None:
    """Return the anchors of both; a word on both sides is left out. None if neither is given."""
    if ours is None or others is None:
        return ours or others
    joined = {}
    for target in {**ours, **others}:
        high, low = (ours.get(target, _NOBODY)[side] | others.get(target, _NOBODY)[side] for side in (0, 1))
        joined[target] = (high - low, low - high)
    return joined


def likely_languages(words: Sequence[str]) -> dict[str, int]:
    """Return language -> how many of the words are among its bundled anchors, most first; none without any."""
    found = {matched(word) for word in words}
    hits = {
        language: len(found & (anchors["valence"][0] | anchors["valence"][1]))
        for language, anchors in anchor_lists().items()
    }
    return {language: n for language, n in sorted(hits.items(), key=lambda item: -item[1]) if n}


def anchor_words(sets: ConceptSets, language: str) -> Anchors:
    """Return the concepts of `ANCHORS`' categories, by target: those to be rated high, those to be rated low.

    A word of both sides is left out; a category the language lacks is passed over.
    """
    found = {}
    for target, sides in ANCHORS.items():
        high, low = (
            frozenset(
                matched(word)
                for category in categories
                if category in sets.labels[language]
                for word in sets.words(language, category)
            )
            for categories in sides
        )
        found[target] = (high - low, low - high)
    return found


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

    found = []
    for target in norms.targets:
        if target not in anchors:
            continue
        ratings = norms.ratings(target).dropna()
        words = ratings.index.map(
            lambda word: matched(word if translations is None else translations.get(word, ""))
        )
        high, low = (ratings[words.isin(side)].to_numpy(float) for side in anchors[target])
        if not min(len(high), len(low)):
            continue
        p = 0.5
        if min(len(high), len(low)) > 1 and np.ptp(np.concatenate([high, low])) > 0:
            p = float(ttest_ind(high, low, equal_var=False, alternative="less").pvalue)
            p = p if np.isfinite(p) else float(high.mean() >= low.mean())
        order = int(high.min() > low.max()) - int(high.max() < low.min())
        means = float(high.mean()), float(low.mean())
        found.append(Direction(target, len(high), len(low), *means, p, order, by))
    return tuple(found)


def direction_questions(
    found: Sequence[Direction], norms: WordNorms, what: str, *, stated: bool, checkable: bool, settle: bool
) -> list[OpenQuestion]:
    """Return what the ratings of the anchors leave open: a scale that looks reversed, or one nobody can check.

    Parameters
    ----------
    stated
        Whether the file itself, or its published layout, says how its valence runs.
    checkable
        Whether there are anchors in the words' language, or translations; without them it is asked.
    settle
        Whether to ask too where a set of `SMALL` words or more holds too few of its language's anchors.
    """
    wrong = [direction for direction in found if direction.reversed]
    open_: list[OpenQuestion] = []
    if wrong:
        names = [direction.target for direction in wrong]
        why = f"its {' and '.join(names)} scale looks reversed: {'; '.join(d.evidence for d in wrong)}"
        open_.append(_question(what, why, names, "If it is, say"))
    if "valence" not in norms.targets:
        return open_
    valence = next((direction for direction in found if direction.target == "valence"), None)
    if valence and valence.mixed:
        why = f"positive and negative words are rated alike on valence: {valence.evidence}"
        fix = (
            "Check that word and valence are the right columns (--column valence=HEADER). If they are and the scale "
            "runs from positive to negative, say"
        )
        open_.append(_question(what, why, ["valence"], fix))
    told = valence and (valence.expected or valence.reversed or valence.mixed)
    if not told and not stated and (not checkable or (settle and len(norms) >= SMALL)):
        reason = (
            "too few of its words tell"
            if checkable
            else f"no words of '{norms.language}' are known that tell"
        )
        why = f"nothing tells whether its valence runs from negative to positive or the other way ({reason})"
        open_.append(_question(what, why, ["valence"], "If it runs from positive to negative, say"))
    return open_


def _question(what: str, why: str, targets: Sequence[str], fix: str) -> OpenQuestion:
    flags = " ".join(f"--reversed {target}" for target in targets)
    listed = ", ".join(f'"{target}"' for target in targets)
    return OpenQuestion(
        what,
        why,
        f"{fix} {flags} or reversed = [{listed}] in its card; if not, --reversed none or reversed = [].",
        key="reversed",
        choices=tuple(targets),
    )


def turned(values: Sequence[float], scale: tuple[float, float]) -> np.ndarray:
    """Return ratings of a reversed scale the other way round."""
    low, high = scale
    return low + high - np.asarray(values, float)
