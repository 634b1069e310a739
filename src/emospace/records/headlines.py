"""The main figures of a study: of the norms with most words, the main space, and the structures behind the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from emospace.records.figures import AlignmentRecord, PredictionRecord
from emospace.records.flat import matching

BESIDE_THE_ANSWER = ("brighter", "clics", "childfer")
"""Structures of six emotions, or of words shared by meanings, which the section on languages shows."""


def norms_of(prediction: Sequence[PredictionRecord], language: str) -> tuple[str, ...]:
    """Return the norms predicted in a language, the one with most words first."""
    sizes: dict[str, int] = {}
    for record in prediction:
        if record.language == language:
            sizes[record.norms] = max(sizes.get(record.norms, 0), record.n)
    return tuple(sorted(sizes, key=lambda name: (-sizes[name], name)))


def targets_of(prediction: Sequence[PredictionRecord]) -> tuple[str, ...]:
    """Return every predicted rating, in the order of the records."""
    return tuple(dict.fromkeys(record.target for record in prediction))


def headline(
    prediction: Sequence[PredictionRecord], language: str, target: str
) -> dict[str, PredictionRecord]:
    """Return the records behind a language's headline figure for a rating, by feature set.

    The norms are those with most words; concept words are out of the test folds where that was computed.
    Of several static sources the stronger is kept.
    """
    for norms in norms_of(prediction, language):
        for excluded in (True, False):
            of = {"language": language, "norms": norms, "target": target, "excluded_concepts": excluded}
            records = [record for record in matching(prediction, **of) if record.r is not None]
            if any(record.features == "space" for record in records):
                records.sort(key=lambda record: record.r or 0.0)
                return {record.features: record for record in records}
    return {}


def main_space(alignment: Sequence[AlignmentRecord]) -> str:
    """Return what the emotion space is made of: SAE features, or dense directions in a study without an SAE."""
    spaces = {record.space for record in alignment}
    return "sae" if "sae" in spaces or "dense" not in spaces else "dense"


def is_beside_the_answer(against: str) -> bool:
    """Return whether a structure is left to the section on languages: six emotions, or words shared by meanings."""
    return against.partition("/")[0] in BESIDE_THE_ANSWER


def structures_of(alignment: Sequence[AlignmentRecord], language: str) -> tuple[str, ...]:
    """Return the human structures the answer rests on: valence-arousal distance and a language's full co-annotation."""
    names = dict.fromkeys(
        record.against
        for record in alignment
        if (record.language, record.statistic) == (language, "rsa_spearman")
        and not is_beside_the_answer(record.against)
    )
    return tuple(sorted(names, key=lambda name: name != "valence_arousal"))


def geometry(
    alignment: Sequence[AlignmentRecord], language: str, against: str, *, joined: bool = False
) -> AlignmentRecord | None:
    """Return the RSA of the emotion space, or of it and static embeddings joined, with one human structure, if given."""
    space = main_space(alignment)
    space = f"{space}_static" if joined else space
    of = {"language": language, "against": against, "statistic": "rsa_spearman", "space": space}
    return next((record for record in matching(alignment, **of) if record.value is not None), None)
