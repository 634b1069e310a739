"""Several judges as one: the mean of their calibrated probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from emospace.artefacts import content_hash, parse_json
from emospace.errors import InvalidInput
from emospace.judges.embedded import SHIPPED
from emospace.judges.judgement import Judge, Judgement, MeasuredJudge


@dataclass(frozen=True, eq=False)
class CombinedJudge(MeasuredJudge):
    """Judges that judge together; each counts the same.

    A text one of them could not judge is unjudged. Held-out scores are those of the combination itself, on its card:
    there is one where both are shipped.

    Parameters
    ----------
    parts
        The judges, two or more.
    """

    parts: tuple[Judge, ...]

    @property
    def kind(self) -> str:
        """One line that says what sort of judge it is."""
        return "mean of calibrated probabilities: " + "; ".join(
            f"{part.name}, {part.kind}" for part in self.parts
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of categories, or ``neutral``, that every part knows."""
        return _shared(self.parts)

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with any of the parts."""
        return content_hash([part.content_hash for part in self.parts])

    def check_language(self, language: str) -> None:
        """Raise `EmospaceError` where one of the parts does not judge texts in a language."""
        for part in self.parts:
            part.check_language(language)

    def judge(self, texts: Sequence[str], language: str = "en") -> Judgement:
        """Judge the emotion of texts by all parts.

        Raises
        ------
        EmospaceError
            As the parts do.
        """
        judgements = [part.judge(texts, language) for part in self.parts]
        labels = _shared(judgements)
        probability = np.mean(
            [[judgement.for_category(label) for label in labels] for judgement in judgements], axis=0
        )
        return Judgement(
            labels, probability.T, np.mean([judgement.seven for judgement in judgements], axis=0)
        )


def combine(parts: Sequence[Judge]) -> CombinedJudge:
    """Return judges as one, with the card of the combination where it was measured.

    Parameters
    ----------
    parts
        Two or more, each once; their order does not matter.

    Raises
    ------
    EmospaceError
        If a judge is named twice, or they have no label in common.
    """
    ordered = tuple(sorted(parts, key=lambda part: part.name))
    names = [part.name for part in ordered]
    name = "+".join(names)
    if len(set(names)) < len(names):
        raise InvalidInput(f"judge '{name}'", "a judge is named twice", "Name each once: ngram+subword.")
    if not _shared(ordered):
        raise InvalidInput(f"judge '{name}'", "its parts have no label in common", "Combine others.")
    file = SHIPPED / name / "card.json"
    card: dict[str, Any] = parse_json(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return CombinedJudge(name, card, ordered)


def _shared(parts: Sequence[Judge] | Sequence[Judgement]) -> tuple[str, ...]:
    """Return the labels that all have, in the order of the first."""
    common = reduce(set.intersection, (set(part.labels) for part in parts))
    return tuple(label for label in parts[0].labels if label in common)
