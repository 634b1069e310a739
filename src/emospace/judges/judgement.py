"""Judgements of the emotion of texts, and the interface that every judge has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from emospace.concepts import unknown_category
from emospace.errors import InvalidInput
from emospace.specs import BASIC

BASIC_SEVEN = (*BASIC, "neutral")
UNJUDGED = "unjudged"
"""The choice of a text that could not be judged."""
AUROC_FLOOR = 0.75
"""Held-out AUROC below which judgements of an emotion in a language are no evidence."""


def is_fit(auroc: float | None) -> bool:
    """Return whether a judge's held-out AUROC for an emotion is known and at least `AUROC_FLOOR`."""
    return auroc is not None and auroc >= AUROC_FLOOR


def weakness(auroc: float | None) -> str | None:
    """Return why judgements of an emotion are no evidence, None where the judge's AUROC is unknown or high enough."""
    if auroc is None or is_fit(auroc):
        return None
    digits = 2 if round(auroc, 2) < AUROC_FLOOR else 3
    return f"judge AUROC {auroc:.{digits}f}: too weak to say".replace("0.", ".", 1)


@dataclass(frozen=True, eq=False)
class Judgement:
    """The emotions a judge finds in texts; the rows of a text that could not be judged are NaN throughout.

    Parameters
    ----------
    labels
        Names of categories, or ``neutral``.
    probability
        ``[n_texts, n_labels]``, 0..1, each label on its own (a text may carry several), calibrated.
    seven
        ``[n_texts, 7]``, the choice among `BASIC_SEVEN` at equal priors; rows sum to 1.
    """

    labels: tuple[str, ...]
    probability: np.ndarray
    seven: np.ndarray

    def __post_init__(self) -> None:
        # A text with a value missing anywhere is unjudged everywhere, so that all figures stand on the same texts.
        if (unjudged := np.isnan(self.seven).any(axis=1) | np.isnan(self.probability).any(axis=1)).any():
            for name in ("probability", "seven"):
                object.__setattr__(self, name, np.where(unjudged[:, None], np.nan, getattr(self, name)))

    @property
    def unjudged(self) -> np.ndarray:
        """Whether the judge gave no usable answer on a text, ``[n_texts]`` of bool."""
        return np.asarray(np.isnan(self.seven).any(axis=1))

    def rows(self, where: slice | np.ndarray) -> Self:
        """Return the judgement of some of the texts."""
        return replace(self, probability=self.probability[where], seven=self.seven[where])

    def without(self, unjudged: np.ndarray) -> Self:
        """Return the judgement with further texts ``[n_texts]`` of bool taken as unjudged."""
        return replace(self, seven=np.where(unjudged[:, None], np.nan, self.seven))

    def for_category(self, category: str) -> np.ndarray:
        """Return the probability ``[n_texts]`` that a text carries the category, NaN for an unjudged text.

        Raises
        ------
        EmospaceError
            If the judge does not know the category.
        """
        if category not in self.labels:
            raise unknown_category(category, self.labels, "label of the judge")
        return np.asarray(self.probability[:, self.labels.index(category)])

    @property
    def choice(self) -> np.ndarray:
        """The likeliest of `BASIC_SEVEN` for each text, or `UNJUDGED`, ``[n_texts]`` of str."""
        places = np.where(self.unjudged, len(BASIC_SEVEN), np.nan_to_num(self.seven).argmax(axis=1))
        return np.array([*BASIC_SEVEN, UNJUDGED])[places]


class Judge(Protocol):
    """Anything that judges the emotion of texts.

    Attributes
    ----------
    name
        What `emospace.judges.load_judge` takes: ``ngram``, ``subword``, ``hf:NAME``, ``llm:MODEL@URL``,
        ``ngram+subword``.
    kind
        One line that says what sort of judge it is.
    labels
        Names of categories, or ``neutral``, over all languages.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with anything its judgements depend on; a name may stay when weights change."""
        ...

    def auroc(self, language: str, label: str) -> float | None:
        """Return the held-out area under the ROC curve of a label, None where it was not measured."""
        ...

    def recall(self, language: str, label: str, *, masked: bool = False) -> float | None:
        """Return the held-out recall of one of `BASIC_SEVEN` by ``seven``, None where it was not measured.

        With `masked`, that of the same texts with their concept words hidden (`mask_concepts`).
        """
        ...

    def calibration_error(self, language: str, label: str) -> float | None:
        """Return the held-out expected calibration error of a label's probability, None where it was not measured."""
        ...

    def check_language(self, language: str) -> None:
        """Say whether it judges texts in a language, without judging any.

        Raises
        ------
        EmospaceError
            If the judge has no held-out score for the language.
        """
        ...

    def judge(self, texts: Sequence[str], language: str = "en") -> Judgement:
        """Judge the emotion of texts.

        Raises
        ------
        EmospaceError
            If the judge has no held-out score for the language.
        """
        ...


@dataclass(frozen=True, eq=False)
class MeasuredJudge:
    """A judge whose held-out scores, where there are any, are on its card.

    Parameters
    ----------
    card
        ``auroc``, ``recall`` and ``recall_masked``: language -> label -> value, and what else its kind of judge reads.
    """

    name: str
    card: Mapping[str, Any]

    def auroc(self, language: str, label: str) -> float | None:
        """Return the held-out area under the ROC curve of a label, None where it was not measured."""
        return self._measured("auroc", language, label)

    def recall(self, language: str, label: str, *, masked: bool = False) -> float | None:
        """Return the held-out recall of one of `BASIC_SEVEN`, None where it was not measured."""
        return self._measured("recall_masked" if masked else "recall", language, label)

    def calibration_error(self, language: str, label: str) -> float | None:
        """Return the expected calibration error of a label (0..1) on the texts its AUROC is of, None where unmeasured."""
        area = self.auroc(language, label)
        sources = self.card.get("held_out", {}).get(language, {}).values()
        rows = (source["labels"].get(label, {}) for source in sources)
        return next((row["ece"] for row in rows if area is not None and row.get("auroc") == area), None)

    def check_language(self, language: str) -> None:
        """Raise `EmospaceError` where the card has held-out scores, and none for a language."""
        measured = self.card.get("auroc", {})
        if measured and language not in measured:
            raise InvalidInput(
                f"language '{language}'",
                f"the judge '{self.name}' has no held-out score for it",
                f"It judges {', '.join(sorted(measured))}; for others give another classifier (hf:NAME) or a "
                "language model (llm:MODEL@URL).",
            )

    def _measured(self, score: str, language: str, label: str) -> float | None:
        value = self.card.get(score, {}).get(language, {}).get(label)
        return None if value is None else float(value)
