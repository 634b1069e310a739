"""What a comparison says in words, and its key figures: from the records and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emospace.comparison.depth import SIGNIFICANT, comparable_onsets
from emospace.comparison.records import Comparison, DepthRecord, DifferenceRecord, ModelRSARecord
from emospace.report.blocks import Card, Meter
from emospace.report.wording import (
    DASH,
    FEATURE_SETS,
    counted,
    figure,
    interval,
    language_name,
    listed,
    p_clause,
    upper_first,
)

MANY = 3


def with_baseline(comparison: Comparison, language: str | None = None) -> tuple[ModelRSARecord, ...]:
    """Return the RSA of every other run with the baseline, of one language or all."""
    return tuple(
        record
        for record in comparison.rsa
        if record.a == comparison.baseline and language in (None, record.language)
    )


def depths_with_baseline(comparison: Comparison, language: str | None = None) -> tuple[DepthRecord, ...]:
    """Return the agreement of layers of every other run with the baseline."""
    return tuple(
        record
        for record in comparison.depth
        if record.a == comparison.baseline and language in (None, record.language)
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
        return f"Whether these runs arrange emotion alike cannot be said: {reason}."
    alike = [record for record in given if is_alike(record)]
    values = [record.value or 0.0 for record in given]
    if len(comparison.runs) > 2:
        languages = [language_name(language) for language in comparison.languages]
        where = listed(languages) if len(languages) <= MANY else f"{len(languages)} languages"
        text = (
            f"Emotion categories are arranged alike beyond chance in {_how_many(len(alike), len(given))} of "
            f"{counted(len(given), 'pair')} of runs (RSA {_span(values)}; in {where})."
        )
        return text + _beyond_words(alike)
    who = f"{comparison.runs[0].name} and {comparison.runs[1].name}"
    if not alike:
        return f"{who} do not arrange emotion categories alike beyond chance: RSA {_by_language(given)}."
    text = f"{who} arrange emotion categories alike beyond chance: RSA {_by_language(alike)}."
    if rest := [record for record in given if record not in alike]:
        text += f" Not beyond chance: {_by_language(rest)}."
    return text + _beyond_words(alike)


def _by_language(records: Sequence[ModelRSARecord]) -> str:
    if len(records) > MANY:
        return f"{_span([record.value or 0.0 for record in records])} in {len(records)} languages"
    return listed([f"{figure(record.value)} in {language_name(record.language)}" for record in records])


def is_alike(record: ModelRSARecord) -> bool:
    """Return whether two RDMs agree more than relabelled ones, over all pairs tested."""
    return record.p_fdr is not None and record.p_fdr < SIGNIFICANT and (record.value or 0) > 0


def _how_many(n: int, of: int) -> str:
    return "none" if n == 0 else "all" if n == of else str(n)


def _beyond_words(alike: Sequence[ModelRSARecord]) -> str:
    tested = [record for record in alike if record.partial_p is not None]
    if not tested:
        return ""
    kept = sum((r.partial_p or 0) < SIGNIFICANT and (r.partial or 0) > 0 for r in tested)
    given = " With the states before the first block held constant,"
    if len(tested) == 1:
        return f"{given} RSA is {figure(tested[0].partial)} ({p_clause(tested[0].partial_p)})."
    if kept == len(tested) == 2:
        return f"{given} both remain so."
    return f"{given} {_how_many(kept, len(tested))} of these {len(tested)} {'remains' if kept == 1 else 'remain'} so."


def _depth(comparison: Comparison) -> str:
    parts = []
    for language in comparison.languages:
        given = [r for r in depths_with_baseline(comparison, language) if r.value is not None]
        if not given:
            continue
        values = [r.value or 0.0 for r in given]
        anywhere = [r.any_depth or 0.0 for r in given]
        parts.append(f"{_span(values)} in {language_name(language)} (any two layers {_span(anywhere)})")
    if len(parts) > MANY:
        every = [r for r in depths_with_baseline(comparison) if r.value is not None]
        any_layers = _span([r.any_depth or 0.0 for r in every])
        parts = [
            f"{_span([r.value or 0.0 for r in every])} over {len(parts)} languages (any two layers {any_layers})"
        ]
    if not parts:
        return ""
    return (
        f"At the same relative depth, the dense states of {comparison.baseline} and "
        f"{'the other run' if len(comparison.runs) == 2 else 'the other runs'} agree at a mean RSA of {'; '.join(parts)}."
    )


def _span(values: Sequence[float]) -> str:
    low, high = figure(min(values)), figure(max(values))
    return low if low == high else f"{low} to {high}"


def _onsets(comparison: Comparison) -> str:
    """Return where each run's arrangement is first like people's, of runs in which it is beyond chance at all."""
    tested = comparable_onsets(comparison.onset)
    if not tested:
        return ""
    lead = "The relative depth at which dense states first reach 90% of their highest RSA with people's ratings is"
    if len(tested) > MANY:
        of_run = {
            s.among["run"]: s.value for s in comparison.summary if s.of == "onset" and s.value is not None
        }
        middle = {run.name: of_run[run.name] for run in comparison.runs if run.name in of_run}
        if not middle:
            return "Where dense states first resemble people's ratings is not summarised: an earlier version made this comparison."
        return f"{lead} (median of {len(tested)} languages) {_earliest(middle)}."
    parts = [f"{_earliest(runs)} in {language_name(language)}" for language, runs in tested.items()]
    return f"{lead} {'; '.join(parts)}."


def _earliest(depths: Mapping[str, float]) -> str:
    if len(depths) <= MANY:
        return listed([f"{figure(depth)} for {name}" for name, depth in depths.items()])
    first, last = min(depths, key=lambda name: depths[name]), max(depths, key=lambda name: depths[name])
    return f"from {figure(depths[first])} for {first} to {figure(depths[last])} for {last}"


def _ratings(comparison: Comparison) -> str:
    given = [r for r in comparison.differences if r.difference is not None and r.features == "space"]
    if not given:
        return ""
    sure = [r for r in given if (r.p_fdr if r.p_fdr is not None else 1.0) < SIGNIFICANT]
    if not sure:
        return (
            f"On the words both predicted, no difference in r from the emotion space of {comparison.baseline} is beyond "
            f"chance ({len(given)} tested)."
        )
    if len(sure) <= 4:
        return f"On the words both predicted, against {comparison.baseline}: {'; '.join(map(_gain, sure))}."
    better = sum((r.difference or 0) > 0 for r in sure)
    return (
        f"On the words both predicted, emotion spaces of the other runs predict ratings better than that of "
        f"{comparison.baseline} in {better} and worse in {len(sure) - better} of {counted(len(given), 'difference')} tested; "
        f"the largest: {_gain(max(sure, key=lambda r: abs(r.difference or 0)))}."
    )


def _gain(record: DifferenceRecord) -> str:
    way = "better" if (record.difference or 0) > 0 else "worse"
    return (
        f"{record.run} predicts {record.target} in {language_name(record.language)} {way} "
        f"(r {figure(record.r)} against {figure(record.r_against)}, difference {figure(record.difference)}, "
        f"95% CI {interval(record.ci_low, record.ci_high)})"
    )


def cards(comparison: Comparison) -> tuple[Card, ...]:
    """Return the RSA with the baseline in the first languages, a meter for each other run while they are few."""
    made: list[Card] = []
    if len(comparison.others) > MANY:
        return ()
    for language in comparison.languages[: MANY + 1]:
        records = with_baseline(comparison, language)
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


def difference_of(record: DifferenceRecord) -> str:
    """Return what hovering over a difference says."""
    return (
        f"{FEATURE_SETS[record.features][0]}: r {figure(record.r)} against {figure(record.r_against)}, "
        f"{counted(record.n, 'word')}"
    )
