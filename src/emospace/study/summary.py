"""Means over the records of a study: what pages say of many figures at once is computed here, and saved with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from emospace.records import (
    SIGNIFICANT,
    CrossLanguageRecord,
    Explained,
    Results,
    SummaryRecord,
    grouped,
    summarised,
)

MEANS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("language_rsa", ("value", "distinct", "baseline"), ("statistic", "space")),
    ("features", ("auc", "auc_static"), ("language",)),
    ("category_shift", ("excess",), ("category",)),
    ("cross_language", ("r", "same_language", "permuted_high"), ("target", "features")),
    ("cross_language", ("same_language", "permuted_high"), ("target", "features", "test")),
)
"""Kinds of records, the figures that are averaged, and the fields whose values keep records apart."""

COMMON = "of all feature sets"


def summarise(records: Mapping[str, Sequence[Explained]]) -> tuple[SummaryRecord, ...]:
    """Return the means of `MEANS` over the records that have a figure, n counting those with this one.

    Feature sets are held side by side over the directions that all of them have, ``among`` then naming these.
    """
    means: list[SummaryRecord] = []
    for kind, figures, apart in MEANS:
        given = [record for record in records.get(kind, ()) if record.given]
        for key, rows in grouped(given, attrgetter(*apart)).items():
            key = key if len(apart) > 1 else (key,)
            among = dict(zip(apart, map(str, key), strict=True))
            for figure in figures:
                means += summarised(kind, figure, among, (getattr(row, figure) for row in rows))
    return (*means, *_over_common_directions(records.get("cross_language", ())))


def _over_common_directions(records: Sequence[Any]) -> Iterator[SummaryRecord]:
    """Yield the mean r of each rating and feature set over the pairs of languages that all its feature sets have."""
    r_of: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
    for record in records:
        if record.r is not None:
            sets = r_of.setdefault(record.target, {})
            sets.setdefault(record.features, {})[record.train, record.test] = record.r
    for target, sets in r_of.items():
        common = sorted(set.intersection(*map(set, sets.values())))
        for features, by in sets.items() if common else ():
            among = {"target": target, "features": features, "directions": COMMON}
            yield from summarised("cross_language", "r", among, (by[direction] for direction in common))


class CategoryAUC(NamedTuple):
    """How well one language's held-out concepts are assigned to their category: AUC over its categories.

    `static` is the mean of the input embeddings; `n_above` counts the categories with q below .05.
    """

    language: str
    mean: float | None
    lowest: float
    highest: float
    static: float | None
    n_above: int
    n: int


def category_aucs(results: Results) -> Iterator[CategoryAUC]:
    """Yield the AUCs of each language that has some."""
    given = (record for record in results.features if record.auc is not None)
    for language, rows in grouped(given, lambda record: record.language).items():
        values = [record.auc or 0.0 for record in rows]
        above = sum(r.auc_p_fdr is not None and r.auc_p_fdr < SIGNIFICANT for r in rows)
        mean, static = (results.mean("features", name, language=language) for name in ("auc", "auc_static"))
        yield CategoryAUC(language, mean, min(values), max(values), static, above, len(rows))


@dataclass(frozen=True)
class Transfer:
    """One feature set and rating over all pairs of languages: means over `n` pairs, and in how many each order holds.

    `low` and `high` are the lowest and highest r of a pair, `beyond` counts pairs whose r is positive with p (FDR)
    below .05, `tested` those with a p, `below` pairs whose r is less than that of the test language itself, `compared`
    those where that is known.
    """

    features: str
    target: str
    n: int
    r: float | None
    low: float
    high: float
    same: float | None
    same_low: float | None
    same_high: float | None
    permuted: float | None
    beyond: int
    tested: int
    below: int
    compared: int
    reference: float | None


FEATURE_ORDER = ("space", "shared", "specific", "universal", "dense", "static")
"""Feature sets of ratings across languages, in the order in which they are shown."""


def transfers_of(results: Results) -> dict[tuple[str, str], Transfer]:
    """Return the figures over pairs of languages by (rating, feature set), in the order in which they are shown."""
    given = (record for record in results.cross_language if record.r is not None)
    groups = grouped(given, lambda record: (record.target, str(record.features)))
    targets = dict.fromkeys(record.target for record in results.cross_language)
    keys = [(target, features) for target in targets for features in FEATURE_ORDER]
    return {key: _transfer(results, groups[key]) for key in keys if key in groups}


def _transfer(results: Results, rows: Sequence[CrossLanguageRecord]) -> Transfer:
    target, features = rows[0].target, rows[0].features
    r = [row.r or 0.0 for row in rows]
    same = [(row.r or 0.0, row.same_language) for row in rows if row.same_language is not None]

    def mean(name: str) -> float | None:
        return results.mean("cross_language", name, target=target, features=features)

    return Transfer(
        features=features,
        target=target,
        n=len(rows),
        r=mean("r"),
        low=min(r),
        high=max(r),
        same=mean("same_language"),
        same_low=min((within for _, within in same), default=None),
        same_high=max((within for _, within in same), default=None),
        permuted=mean("permuted_high"),
        beyond=sum(is_beyond(row) for row in rows),
        tested=sum(p_of(row) is not None for row in rows),
        below=sum(across < within for across, within in same),
        compared=len(same),
        reference=next((row.reference for row in rows if row.reference is not None), None),
    )


def p_of(record: CrossLanguageRecord) -> float | None:
    """Return a record's p, adjusted where it is."""
    return record.p if record.p_fdr is None else record.p_fdr


def is_beyond(record: CrossLanguageRecord) -> bool:
    """Return whether a pair's r is positive and beyond ridge fitted on permuted ratings."""
    p = p_of(record)
    return (record.r or 0.0) > 0 and p is not None and p < SIGNIFICANT
