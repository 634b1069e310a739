"""Figures over several emotions: which records are compared, and the means over them.

Pages select with the same functions and read the means from the `summary` of `results.json`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emospace.display import get_value
from emospace.evaluation.cross_lingual_tables import ALL
from emospace.judges import BASIC, weakness
from emospace.records import SIGNIFICANT, SteeringRecord, SummaryRecord, grouped, summarised

if TYPE_CHECKING:
    import pandas as pd

Records = Sequence[SteeringRecord]
CONTROLS = ("random", "none")
MEANS = (
    *("target_rate", "target_rate_masked", "base_rate", "judge_recall", "judge_recall_masked"),
    *(
        "distinct2_ratio",
        "repetition",
        "similarity",
        "answered",
        "answered_sampled",
        "facts_kept",
        "in_language",
    ),
)
MEDIANS = ("perplexity_ratio",)
MATRIX = ("target_rate", "target_rate_masked", "base_rate", "perplexity_ratio", "in_language")
SIZE = "valence_shift (size)"
"""The figure of `SummaryRecord` that is the mean of absolute shifts, whichever their direction."""
ILLUSTRATION = "illustration"
"""In `SteeringRecord.options`: too few prompts to test anything, shown and not judged."""
COMPARED, JUDGED, TRIED, BY_DOSE = "compared", "judged", "tried", "random by dose"
"""Values of ``among["group"]``: beside other ways, judged ones of the main vectors, all tried, random directions."""
ANOTHER, OWN, POOLED, EVERY = "another language", "own language", "all languages", "every row"
"""Values of ``among["rows"]``, rows of the table ``crossing_means``."""


def way(record: SteeringRecord) -> str:
    """Return what was done: the kind of vector, its settings where there are any, the mode of its dose where it is constant."""
    name = f"{record.vector} {record.setting}" if record.setting else record.vector
    return f"{name}, {record.mode}" if record.mode == "constant" else name


def source_of(record: SteeringRecord) -> str:
    """Return the language of the concepts a record's vector was made of."""
    return record.source_language or record.language


def calibrated(records: Records) -> list[SteeringRecord]:
    """Return one record an emotion: the first kind of vector, at its calibrated dose."""
    ways = [way(record) for record in records if record.calibrated]
    main = max(ways, key=ways.count, default=None)
    return [record for record in records if record.calibrated and way(record) == main]


def judged(records: Records) -> list[SteeringRecord]:
    """Return the basic emotions of `calibrated` that could be judged, by a judge not too weak for them."""
    basic = (record for record in calibrated(records) if record.emotion in BASIC)
    return [record for record in basic if record.target_rate is not None and is_accepted(record)]


def is_accepted(record: SteeringRecord) -> bool:
    """Return whether the judge's rate of a record's emotion is evidence: the judge is not known to be too weak."""
    return weakness(record.judge_auroc) is None


def is_above_controls(record: SteeringRecord) -> bool:
    """Return whether the target is judged more often than under its controls: by the adjusted p, else p, else the interval."""
    p = record.p_fdr if record.p_fdr is not None else record.p
    more = (record.target_rate or 0.0) > (record.base_rate or 0.0)
    if p is not None:
        return more and p < SIGNIFICANT
    return more and record.ci_low is not None and record.ci_low > (record.base_rate or 0.0)


def tried(records: Records) -> list[SteeringRecord]:
    """Return `calibrated`, or every steered record where none is."""
    return calibrated(records) or [record for record in records if record.vector not in CONTROLS]


def tried_in(records: Records) -> dict[str, list[SteeringRecord]]:
    """Return by language those of `tried` whose emotion the judge is not too weak for."""
    accepted = (record for record in tried(records) if is_accepted(record))
    return grouped(accepted, lambda record: record.language)


def steered(records: Records) -> list[SteeringRecord]:
    """Return the records of vectors, without those of controls and of an instruction alone."""
    return [record for record in records if record.vector not in (*CONTROLS, "prompt", "prompted")]


def is_beyond_controls(row: Mapping[str, Any]) -> bool:
    """Return whether the target is likelier than under random directions, and its rate clear of both controls.

    A vector that makes answers emotional in any way is beyond random directions too, so the rate of other emotions
    decides.

    Parameters
    ----------
    row
        Of the table ``crossing_means``.
    """
    p_fdr, *controls = (get_value(row, name) for name in ("p_fdr", "control_rate", "others_rate"))
    highest = max(rate or 0.0 for rate in controls)
    return p_fdr is not None and p_fdr < SIGNIFICANT and row["rate_low"] > highest


def is_illustration(records: Records) -> bool:
    """Return whether figures are an illustration: a few prompts, no test."""
    return any(ILLUSTRATION in (record.options or "") for record in records)


def nearest_random(record: SteeringRecord, records: Records) -> SteeringRecord | None:
    """Return the random directions, read for the same target, whose dose is nearest to a record's (by ratio)."""
    random = [
        other
        for other in records
        if (other.vector, other.emotion, other.language) == ("random", record.emotion, record.language)
        and other.dose
        and other.target_rate is not None
    ]
    if not random or not record.dose:
        return None
    return min(random, key=lambda other: abs(math.log((other.dose or 1.0) / (record.dose or 1.0))))


def controls_of(chosen: Records, records: Records) -> list[SteeringRecord]:
    """Return the random directions nearest in dose to each of some records."""
    return [near for record in chosen if (near := nearest_random(record, records))]


def compared(records: Records) -> dict[str, list[SteeringRecord]]:
    """Return by `way` the records of the basic emotions: at the calibrated dose, controls, an instruction alone.

    Emotions that the judge is too weak for are left out.
    """
    records = [record for record in records if is_accepted(record)]
    by_way: dict[str, list[SteeringRecord]] = {}
    for record in records:
        if record.emotion in BASIC and (record.calibrated or record.vector in ("prompt", "shuffled", "none")):
            by_way.setdefault(way(record), []).append(record)
    random = controls_of([record for record in calibrated(records) if record.emotion in BASIC], records)
    return by_way | ({way(random[0]): random} if random else {})


def dose_curves(records: Records) -> dict[str, list[SteeringRecord]]:
    """Return by basic emotion the main vectors' records, of emotions tried at more than one dose."""
    main = {way(record) for record in calibrated(records)}
    curves: dict[str, list[SteeringRecord]] = {}
    for record in records:
        if record.emotion in BASIC and way(record) in main and record.dose is not None:
            curves.setdefault(record.emotion, []).append(record)
    return {name: curve for name, curve in curves.items() if len(curve) > 1}


def random_doses(records: Records) -> dict[float, list[SteeringRecord]]:
    """Return by dose, ascending, the random directions read for the targets of `dose_curves`."""
    targets = dose_curves(records)
    doses: dict[float, list[SteeringRecord]] = {}
    for record in records:
        if record.vector == "random" and record.emotion in targets and record.dose is not None:
            doses.setdefault(record.dose, []).append(record)
    return dict(sorted(doses.items()))


def matrix_rows(records: Records) -> dict[tuple[str, str], dict[str, SteeringRecord]]:
    """Return by row (source of the vectors, or control) and language of the answers the record of each emotion."""
    rows: dict[tuple[str, str], dict[str, SteeringRecord]] = {}
    for record in records:
        if record.vector not in ("prompt", "prompted"):
            row = record.vector if record.vector in CONTROLS else source_of(record)
            rows.setdefault((row, record.language), {})[record.emotion] = record
    return rows


def steering_summary(records: Records) -> tuple[SummaryRecord, ...]:
    """Return the means and medians that the page of steering states."""
    main = judged(records)
    groups: list[tuple[dict[str, str], Records]] = [
        ({"group": JUDGED}, main),
        ({"group": JUDGED, "way": "random"}, controls_of(main, records)),
        *(({"group": TRIED, "language": name}, group) for name, group in tried_in(records).items()),
        *(({"group": COMPARED, "way": name}, group) for name, group in compared(records).items()),
        *(({"group": BY_DOSE, "dose": str(dose)}, group) for dose, group in random_doses(records).items()),
    ]
    return tuple(record for among, group in groups for record in _of_group(among, group))


def cross_lingual_summary(
    records: Records, means: pd.DataFrame, cosines: pd.DataFrame
) -> tuple[SummaryRecord, ...]:
    """Return the means that the page of steering across languages states.

    Parameters
    ----------
    means, cosines
        The tables of `cross_lingual_tables` of these names.
    """
    return (*_of_matrix(records), *_of_means(means), *_of_cosines(cosines))


def _of_group(among: dict[str, str], records: Records) -> Iterator[SummaryRecord]:
    for name in MEANS:
        yield from summarised("steering", name, among, (getattr(record, name) for record in records))
    yield from summarised(
        "steering",
        SIZE,
        among,
        (None if r.valence_shift is None else abs(r.valence_shift) for r in records),
    )
    for name in MEDIANS:
        yield from summarised(
            "steering", name, among, (getattr(record, name) for record in records), "median"
        )


def _of_matrix(records: Records) -> Iterator[SummaryRecord]:
    """Yield means over the basic emotions a vector was tried for that the judge is not too weak for.

    And the judge's mean AUROC over all that were tried.
    """
    of_vectors = steered(records)
    basic = {record.emotion for record in of_vectors} & set(BASIC)
    for (row, language), by in matrix_rows(records).items():
        accepted = [record for emotion, record in by.items() if emotion in basic and is_accepted(record)]
        for name in MATRIX:
            among = {"source": row, "language": language}
            yield from summarised("steering", name, among, (getattr(record, name) for record in accepted))
    for language in dict.fromkeys(record.language for record in of_vectors):
        values = (record.judge_auroc for record in of_vectors if record.language == language)
        yield from summarised("steering", "judge_auroc", {"language": language}, values)


def _of_means(means: pd.DataFrame) -> Iterator[SummaryRecord]:
    rows: list[Any] = means.to_dict("records")
    groups = {
        ANOTHER: [row for row in rows if row["source"] not in (ALL, row["output"])],
        OWN: [row for row in rows if row["source"] == row["output"]],
        POOLED: [row for row in rows if row["source"] == ALL],
        EVERY: rows,
    }
    for group, chosen in groups.items():
        for name in ("rate", "control_rate", "base_rate", "others_rate"):
            yield from summarised("crossing_means", name, {"rows": group}, _column(chosen, name))
    for output in dict.fromkeys(row["output"] for row in rows):
        chosen = [row for row in rows if row["output"] == output]
        for name in ("in_language", "base_in_language"):
            yield from summarised("crossing_means", name, {"output": output}, _column(chosen, name))


def _of_cosines(cosines: pd.DataFrame) -> Iterator[SummaryRecord]:
    for apart in ((), ("emotion", "layer"), ("a", "b")):
        rows: list[Any] = cosines.to_dict("records")
        groups = grouped(rows, lambda row, apart=apart: tuple(str(row[name]) for name in apart))  # type: ignore[misc]
        for key, chosen in groups.items():
            for name in ("cosine", "others"):
                among = dict(zip(apart, key, strict=True))
                yield from summarised("crossing_cosines", name, among, _column(chosen, name))


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> Iterator[float | None]:
    return (row[name] for row in rows)
