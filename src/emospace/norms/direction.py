"""Whether a scale runs the right way: words everybody likes must be rated above words nobody does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

FEWEST = 8
ALPHA = 0.001

Anchors = Mapping[str, tuple[frozenset[str], frozenset[str]]]


@dataclass(frozen=True)
class Direction:
    """How anchor words of one target are rated: their numbers and mean ratings, and p of a reversed scale.

    `p` is of Welch's one-sided t test that words to be rated high are rated below those to be rated low.
    """

    target: str
    n_high: int
    n_low: int
    mean_high: float
    mean_low: float
    p: float

    @property
    def reversed(self) -> bool:
        """Whether the scale looks reversed: at least 8 words of each side, and p < .001."""
        return min(self.n_high, self.n_low) >= FEWEST and self.p < ALPHA

    @property
    def evidence(self) -> str:
        """The figures in words."""
        return (
            f"{self.n_high} words for high {self.target} are rated {self.mean_high:.2f} on average, "
            f"{self.n_low} for low {self.target} {self.mean_low:.2f} (Welch p = {self.p:.1g})"
        )


def anchor_words(sets: ConceptSets, language: str) -> Anchors:
    """Return the concepts of `ANCHORS`' categories, by target: those to be rated high, those to be rated low.

    A word of both sides is left out; a category the language lacks is passed over.
    """
    found = {}
    for target, sides in ANCHORS.items():
        high, low = (
            frozenset(
                simplified(word.casefold())
                for category in categories
                if category in sets.labels[language]
                for word in sets.words(language, category)
            )
            for categories in sides
        )
        found[target] = (high - low, low - high)
    return found


def directions(norms: WordNorms, anchors: Anchors) -> tuple[Direction, ...]:
    """Return how the anchors are rated, for each target of the norms that has at least 2 on both sides.

    Words in traditional script are matched by their simplified form, in which the bundled concepts are written.
    """
    from scipy.stats import ttest_ind

    found = []
    for target in norms.targets:
        if target not in anchors:
            continue
        ratings = norms.ratings(target).dropna()
        words = ratings.index.map(lambda word: simplified(word.casefold()))
        high, low = (ratings[words.isin(side)].to_numpy(float) for side in anchors[target])
        if min(len(high), len(low)) < 2:
            continue
        apart = np.ptp(np.concatenate([high, low])) > 0
        p = float(ttest_ind(high, low, equal_var=False, alternative="less").pvalue) if apart else 1.0
        p = p if np.isfinite(p) else float(high.mean() >= low.mean())
        found.append(Direction(target, len(high), len(low), float(high.mean()), float(low.mean()), p))
    return tuple(found)


def check_directions(norms: WordNorms, anchors: Anchors, what: str) -> tuple[Direction, ...]:
    """Return `directions`; refuse norms that look reversed.

    Raises
    ------
    OpenQuestion
        If a target looks reversed; it names the evidence and what to say.
    """
    found = directions(norms, anchors)
    wrong = [direction for direction in found if direction.reversed]
    if wrong:
        listed = ", ".join(f'"{direction.target}"' for direction in wrong)
        flags = " ".join(f"--reversed {direction.target}" for direction in wrong)
        raise OpenQuestion(
            what,
            f"its {' and '.join(direction.target for direction in wrong)} scale looks reversed: "
            + "; ".join(direction.evidence for direction in wrong),
            f"If it is, say {flags} or reversed = [{listed}] in its card; if not, --reversed none or reversed = [].",
            key="reversed",
            choices=tuple(direction.target for direction in wrong),
        )
    return found


def turned(values: Sequence[float], scale: tuple[float, float]) -> np.ndarray:
    """Return ratings of a reversed scale the other way round."""
    low, high = scale
    return low + high - np.asarray(values, float)
