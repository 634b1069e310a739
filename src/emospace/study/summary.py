"""Means over the records of a study: what pages say of many figures at once is computed here, and saved with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emospace.records import Explained, SummaryRecord, summarised

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
    found: list[SummaryRecord] = []
    for kind, figures, apart in MEANS:
        groups: dict[tuple[Any, ...], list[Explained]] = {}
        for record in records.get(kind, ()):
            if record.given:
                groups.setdefault(tuple(getattr(record, name) for name in apart), []).append(record)
        for key, rows in groups.items():
            among = dict(zip(apart, map(str, key), strict=True))
            for figure in figures:
                found += summarised(kind, figure, among, (getattr(row, figure) for row in rows))
    return (*found, *_over_common_directions(records.get("cross_language", ())))


def _over_common_directions(records: Sequence[Any]) -> Iterator[SummaryRecord]:
    """Yield the mean r of each rating and feature set over the pairs of languages that all its feature sets have."""
    found: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
    for record in records:
        if record.r is not None:
            sets = found.setdefault(record.target, {})
            sets.setdefault(record.features, {})[record.train, record.test] = record.r
    for target, sets in found.items():
        common = sorted(set.intersection(*map(set, sets.values())))
        for features, by in sets.items() if common else ():
            among = {"target": target, "features": features, "directions": COMMON}
            yield from summarised("cross_language", "r", among, (by[direction] for direction in common))
