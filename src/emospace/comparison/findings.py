"""What a comparison says in words, and its key figures: from the records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

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

SIGNIFICANT = 0.05
N_CARDS = 4


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
    two = len(comparison.runs) == 2
    if two:
        who = f"{comparison.runs[0].name} and {comparison.runs[1].name}"
        where = listed(
            [f"{language_name(r.language)} {figure(r.value)}" for r in (alike if alike else given)]
        )
        if alike:
            text = f"{who} arrange emotion categories alike beyond chance: RSA {where}."
        else:
            text = f"{who} do not arrange emotion categories alike beyond chance: RSA {where}."
        if alike and len(alike) < len(given):
            rest = [f"{language_name(r.language)} {figure(r.value)}" for r in given if r not in alike]
            text += f" Not beyond chance: {listed(rest)}."
        return text + _beyond_words(alike)
    values = [record.value or 0.0 for record in given]
    pairs = counted(len(given), "pair")
    text = (
        f"{upper_first(_how_many(len(alike), len(given)))} of {pairs} of runs arrange emotion categories alike beyond "
        f"chance (RSA {figure(min(values))} to {figure(max(values))}, over {counted(len(comparison.languages), 'language')})."
    )
    return text + _beyond_words(alike)


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
    return (
        f" With the states before the first block held constant, {_how_many(kept, len(tested))} of "
        f"{len(tested)} {'remains' if kept == 1 else 'remain'} so."
        if len(tested) > 1
        else " With the states before the first block held constant, "
        f"it is {figure(tested[0].partial)} ({p_clause(tested[0].partial_p)})."
    )


def _depth(comparison: Comparison) -> str:
    parts = []
    for language in comparison.languages:
        given = [r for r in depths_with_baseline(comparison, language) if r.value is not None]
        if not given:
            continue
        values = [r.value or 0.0 for r in given]
        anywhere = [r.any_depth or 0.0 for r in given]
        parts.append(f"{language_name(language)} {_span(values)} (any two layers {_span(anywhere)})")
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
    parts = []
    for language in comparison.languages:
        given = [r for r in comparison.onset if r.language == language and r.onset_depth is not None]
        tested = [r for r in given if (r.p if r.p is not None else 1.0) < SIGNIFICANT]
        if len(tested) < 2:
            continue
        if len(tested) <= 3:
            said = listed([f"{r.run} at {figure(r.onset_depth)}" for r in tested])
        else:
            first = min(tested, key=lambda r: r.onset_depth or 0.0)
            last = max(tested, key=lambda r: r.onset_depth or 0.0)
            said = f"{first.run} first ({figure(first.onset_depth)}), {last.run} last ({figure(last.onset_depth)})"
        parts.append(f"in {language_name(language)}, {said}")
    if not parts:
        return ""
    return (
        "Relative depth at which the arrangement by people's valence and arousal first reaches 90% of its highest: "
        f"{'; '.join(parts)}."
    )


def _ratings(comparison: Comparison) -> str:
    given = [r for r in comparison.differences if r.difference is not None and r.features == "space"]
    if not given:
        return ""
    sure = [r for r in given if (r.p_fdr if r.p_fdr is not None else 1.0) < SIGNIFICANT]
    if not sure:
        return (
            f"On the words both predicted, no emotion space predicts a rating better or worse than that of "
            f"{comparison.baseline} ({counted(len(given), 'difference')} tested)."
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
    """Return the RSA with the baseline in the first languages, a meter for each other run."""
    made = []
    for language in comparison.languages[:N_CARDS]:
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
        beside = f"before the first block {figure(record.baseline)} · given that {figure(record.partial)}"
        ticks = [(min(100.0, max(0.0, 100 * record.baseline)), "before the first block")]
    fill = min(100.0, max(0.0, 100 * record.value))
    return Meter(record.b, figure(record.value), " · ".join(filter(None, parts)), beside, fill, ticks)


def difference_of(record: DifferenceRecord) -> str:
    """Return what hovering over a difference says."""
    return (
        f"{FEATURE_SETS[record.features][0]}: r {figure(record.r)} against {figure(record.r_against)}, "
        f"{counted(record.n, 'word')}"
    )
