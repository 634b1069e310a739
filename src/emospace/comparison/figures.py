"""The main figures of runs side by side, each with its difference from the baseline run's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from emospace.comparison.records import FigureRecord, Kind
from emospace.comparison.runs import NamedRun
from emospace.evaluation.summary import calibrated
from emospace.records import AlignmentRecord

FEATURES = ("space", "shared", "dense", "static")
LANGUAGE_KINDS: dict[str, Kind] = {"rsa_spearman": "language_rsa", "procrustes": "procrustes"}
ALIGNMENT_KINDS: dict[str, Kind] = {"rsa_spearman": "rsa", "best_pc_r": "best_pc_r"}


def side_by_side(runs: Sequence[NamedRun], languages: Sequence[str]) -> tuple[FigureRecord, ...]:
    """Return the main figures of every run in some languages; the first run is the baseline.

    Ratings are those predicted with concept words out of the test folds. ``space`` is a run's own space, of SAE
    features or, without an SAE, of dense directions.
    """
    records = [record for item in runs for record in _figures(item, languages)]
    of_baseline = {figure_key(record): record.value for record in records if record.run == runs[0].name}
    return tuple(
        record
        if record.run == runs[0].name
        else record.model_copy(
            update={"difference": _less(record.value, of_baseline.get(figure_key(record)))}
        )
        for record in records
    )


def figure_key(record: FigureRecord) -> tuple[str | None, ...]:
    """Return what two runs' figures must share to stand in one row."""
    return (record.kind, record.language, record.against, record.target, record.of, record.source)


def _less(value: float | None, baseline: float | None) -> float | None:
    return None if value is None or baseline is None else value - baseline


def _figures(item: NamedRun, languages: Sequence[str]) -> Iterator[FigureRecord]:
    given = [
        record
        for record in _all_figures(item)
        if record.language in languages
        and (record.kind not in LANGUAGE_KINDS.values() or record.against in languages)
    ]
    # Two records of one row would not say which is meant; the study writes the main one first.
    first: dict[tuple[str | None, ...], FigureRecord] = {}
    for record in given:
        first.setdefault(figure_key(record), record)
    yield from first.values()


def _all_figures(item: NamedRun) -> Iterator[FigureRecord]:
    results = item.run.results
    for r in results.prediction:
        if r.excluded_concepts and r.features in FEATURES and r.trained_on is None:
            named = {"against": r.norms, "target": r.target, "source": r.static_source}
            yield _figure(item, "prediction", r, r.language, r.features, r.r, **named)
    for a in results.alignment:
        kind = ALIGNMENT_KINDS.get(a.statistic)
        if kind is None or a.controls is not None:
            continue
        named = {"against": a.against, "target": a.target, "source": a.norms}
        for of in _spaces(item, a):
            yield _figure(item, kind, a, a.language, of, a.value, **named)
    for pair in results.language_rsa:
        if pair.space == item.run.main_space:
            first, second = sorted((pair.a, pair.b))
            yield _figure(
                item, LANGUAGE_KINDS[pair.statistic], pair, first, "space", pair.value, against=second
            )
    for s in calibrated(results.steering):
        yield _figure(item, "steering", s, s.language, s.vector, s.target_rate, target=s.emotion)


def _spaces(item: NamedRun, record: AlignmentRecord) -> tuple[str, ...]:
    of_space = ("space",) if record.space == item.run.main_space else ()
    return (*of_space, record.space) if record.space in FEATURES else of_space


def _figure(
    item: NamedRun, kind: Kind, record: Any, language: str, of: str, value: float | None, **named: str | None
) -> FigureRecord:
    return FigureRecord(
        run=item.name,
        kind=kind,
        language=language,
        of=of,
        value=value,
        ci_low=record.ci_low,
        ci_high=record.ci_high,
        p=record.p,
        n=record.n,
        reason=record.reason if value is None else None,
        **named,
    )
