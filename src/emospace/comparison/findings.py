"""What a comparison says in words, and its key figures: from the records and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from emospace.comparison.depth import comparable_onsets
from emospace.comparison.records import Comparison, DepthRecord, DifferenceRecord, ModelRSARecord
from emospace.records import SIGNIFICANT
from emospace.report.blocks import Card, Meter
from emospace.report.texts import phrase
from emospace.report.wording import (
    DASH,
    MANY,
    counted,
    figure,
    interval,
    language_name,
    listed,
    p_clause,
    upper_first,
)

OfPair = TypeVar("OfPair", ModelRSARecord, DepthRecord)


def with_baseline(
    records: Sequence[OfPair], comparison: Comparison, language: str = ""
) -> tuple[OfPair, ...]:
    """Return the records of every other run with the baseline, of one language or all."""
    return tuple(
        record for record in records if record.a == comparison.baseline and language in ("", record.language)
    )


def answer(comparison: Comparison) -> tuple[str, ...]:
    """Return the comparison in words: arrangement, depth, predicted ratings."""
    lines = (_arrangement(comparison), _depth(comparison), _onsets(comparison), _ratings(comparison))
    return tuple(line for line in lines if line)


def _arrangement(comparison: Comparison) -> str:
    """Return whether the runs arrange categories alike, in one sentence."""
    given = [record for record in comparison.rsa if record.value is not None]
    if not given:
        reason = next((record.reason for record in comparison.rsa if record.reason), "no pair of runs")
        return phrase("compared.unsaid", reason=reason)
    alike = [record for record in given if _is_alike(record)]
    if len(comparison.runs) > 2:
        languages = [language_name(language) for language in comparison.languages]
        return phrase(
            "compared.pairs",
            alike=_how_many(len(alike), len(given)),
            n=len(given),
            span=_span(given),
            where=listed(languages) if len(languages) <= MANY else f"{len(languages)} languages",
            words=_beyond_words(alike),
        )
    who = " and ".join(run.name for run in comparison.runs)
    if not alike:
        return phrase("compared.unlike", who=who, rsa=_by_language(given))
    rest = [record for record in given if record not in alike]
    return phrase(
        "compared.alike",
        who=who,
        rsa=_by_language(alike),
        rest=phrase("compared.rest", rsa=_by_language(rest)) if rest else "",
        words=_beyond_words(alike),
    )


def _by_language(records: Sequence[ModelRSARecord]) -> str:
    if len(records) > MANY:
        return phrase("compared.in_languages", value=_span(records), n=len(records))
    return listed(
        [phrase("compared.in_language", value=figure(r.value), language=r.language) for r in records]
    )


def _is_alike(record: ModelRSARecord) -> bool:
    """Return whether two RDMs agree more than relabelled ones, over all pairs tested."""
    return record.p_fdr is not None and record.p_fdr < SIGNIFICANT and (record.value or 0) > 0


def _how_many(n: int, of: int) -> str:
    return "none" if n == 0 else "all" if n == of else str(n)


def _beyond_words(alike: Sequence[ModelRSARecord]) -> str:
    tested = [record for record in alike if record.partial_p is not None]
    if not tested:
        return ""
    kept = sum((r.partial_p or 0) < SIGNIFICANT and (r.partial or 0) > 0 for r in tested)
    if len(tested) == 1:
        remain = phrase("compared.held_one", record=tested[0])
    elif kept == len(tested) == 2:
        remain = phrase("compared.held_both")
    else:
        verb = "remains" if kept == 1 else "remain"
        remain = phrase("compared.held_some", kept=_how_many(kept, len(tested)), n=len(tested), verb=verb)
    return phrase("compared.held", remain=remain)


def _depth(comparison: Comparison) -> str:
    every = [r for r in with_baseline(comparison.depth, comparison) if r.value is not None]
    parts = []
    for language in comparison.languages:
        if given := [record for record in every if record.language == language]:
            anywhere = _span(given, "any_depth")
            parts.append(phrase("compared.depth_in", span=_span(given), language=language, anywhere=anywhere))
    if not parts:
        return ""
    if len(parts) > MANY:
        anywhere = _span(every, "any_depth")
        parts = [phrase("compared.depth_over", span=_span(every), n=len(parts), anywhere=anywhere)]
    others = "the other run" if len(comparison.runs) == 2 else "the other runs"
    return phrase("compared.depth", baseline=comparison.baseline, others=others, rsa=parts)


def _span(records: Sequence[ModelRSARecord | DepthRecord], field: str = "value") -> str:
    values = [getattr(record, field) or 0.0 for record in records]
    low, high = figure(min(values)), figure(max(values))
    return low if low == high else f"{low} to {high}"


def _onsets(comparison: Comparison) -> str:
    """Return where each run's arrangement is first like people's, of runs in which it is beyond chance at all."""
    tested = comparable_onsets(comparison.onset)
    if not tested:
        return ""
    if len(tested) <= MANY:
        parts = [
            phrase("compared.in_language", value=_earliest(runs), language=language)
            for language, runs in tested.items()
        ]
        return phrase("compared.onsets", onsets="; ".join(parts))
    of_run = {s.among["run"]: s.value for s in comparison.summary if s.of == "onset" and s.value is not None}
    middle = {run.name: of_run[run.name] for run in comparison.runs if run.name in of_run}
    if not middle:
        return phrase("compared.no_medians")
    medians = phrase("compared.onset_medians", n=len(tested), onsets=_earliest(middle))
    return phrase("compared.onsets", onsets=medians)


def _earliest(depths: Mapping[str, float]) -> str:
    if len(depths) <= MANY:
        return listed([phrase("compared.onset", depth=depth, run=name) for name, depth in depths.items()])
    first, last = (pick(depths, key=lambda name: depths[name]) for pick in (min, max))
    return phrase(
        "compared.onset_range", first=depths[first], first_run=first, last=depths[last], last_run=last
    )


def _ratings(comparison: Comparison) -> str:
    given = [r for r in comparison.differences if r.difference is not None and r.features == "space"]
    if not given:
        return ""
    sure = [r for r in given if r.p_fdr is not None and r.p_fdr < SIGNIFICANT]
    if not sure:
        return phrase("compared.no_difference", baseline=comparison.baseline, n=len(given))
    if len(sure) <= 4:
        return phrase("compared.differences", baseline=comparison.baseline, gains=[*map(_gain, sure)])
    better = sum((r.difference or 0) > 0 for r in sure)
    return phrase(
        "compared.many_differences",
        baseline=comparison.baseline,
        better=better,
        worse=len(sure) - better,
        n=len(given),
        largest=_gain(max(sure, key=lambda r: abs(r.difference or 0))),
    )


def _gain(record: DifferenceRecord) -> str:
    return phrase("compared.gain", record=record, way="better" if (record.difference or 0) > 0 else "worse")


def cards(comparison: Comparison) -> tuple[Card, ...]:
    """Return the RSA with the baseline in the first languages, a meter for each other run while they are few."""
    made: list[Card] = []
    if len(comparison.others) > MANY:
        return ()
    for language in comparison.languages[: MANY + 1]:
        records = with_baseline(comparison.rsa, comparison, language)
        if any(record.value is not None for record in records):
            title = f"{language_name(language)}: arrangement, RSA with {comparison.baseline}"
            made.append(Card(title, [_meter(record) for record in records]))
    return tuple(made)


def _meter(record: ModelRSARecord) -> Meter:
    if record.value is None:
        return Meter(record.b, DASH, "", upper_first(record.reason or ""), 0.0)
    parts = (interval(record.ci_low, record.ci_high), p_clause(record.p_fdr), counted(record.n, "category"))
    beside, ticks = "no baseline: a run holds no layers", []
    if record.baseline is not None:
        beside = f"before the first block {figure(record.baseline)}"
        beside += "" if record.partial is None else f" · given that {figure(record.partial)}"
        ticks = [(min(100.0, max(0.0, 100 * record.baseline)), "before the first block")]
    fill = min(100.0, max(0.0, 100 * record.value))
    return Meter(record.b, figure(record.value), " · ".join(filter(None, parts)), beside, fill, ticks)
