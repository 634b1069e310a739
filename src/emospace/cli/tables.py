"""What `emospace study` ends with: the key figures on the terminal, each beside its baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emospace.display import Get, bare, between, say, table
from emospace.records import cross_tabulated, grouped, main_space, matching
from emospace.report.columns import of_named
from emospace.report.verdict import about_name, answer_rows
from emospace.report.wording import MANY
from emospace.study.summary import transfers_of

if TYPE_CHECKING:
    from emospace.records import AlignmentRecord, NotComputed, PredictionRecord, Results, Verdict


def _p(record: AlignmentRecord | None) -> str | None:
    return None if record is None or record.p is None else f"{record.p:.4f}"


VERDICT: Mapping[str, Get] = {
    "language": lambda answers: answers[0].language,
    "of": lambda answers: about_name(answers[0].about),
    "is it there": lambda answers: answers[0].answer,
    "in the concept features": lambda answers: answers[1].answer,
    "beyond the embeddings": lambda answers: answers[2].answer,
}
PREDICTION: Mapping[str, Get] = {
    "language": of_named("space", "language"),
    "norms": of_named("space", "norms"),
    "rating": of_named("space", "target"),
    "words": of_named("space", "n"),
    "space r": of_named("space", "r"),
    "95% CI": lambda sets: between()(sets["space"]),
    "outside r": of_named("outside", "r"),
    "above draws": lambda sets: None if (beaten := sets["space"].draws_beaten) is None else f"{beaten:.1%}",
    "top firing r": of_named("top_firing", "r"),
    "dense r": of_named("dense", "r"),
    "static r": of_named("static", "r"),
    "ceiling": of_named("space", "ceiling"),
}
ALIGNMENT: Mapping[str, Get] = {
    "language": "language",
    "figure": lambda record: figure_name(record),
    "norms": "norms",
    "categories": "n",
    "value": "value",
    "95% CI": between(),
    "p": _p,
    "static": "baseline",
    "ceiling": "ceiling",
}
BY_LANGUAGE: Mapping[str, Get] = {
    "language": of_named("largest", "language"),
    "categories": of_named("largest", "n"),
    "best PC, valence": of_named("valence", "value"),
    "best PC, arousal": of_named("arousal", "value"),
    "RSA with valence-arousal": of_named("people", "value"),
    "p": lambda row: _p(row["people"]),
    "static": of_named("people", "baseline"),
    "co-annotation": of_named("texts", "value"),
    "static (co-annotation)": of_named("texts", "baseline"),
    "colexification": of_named("words", "value"),
    "static (colexification)": of_named("words", "baseline"),
}
BETWEEN: Mapping[str, Get] = {
    "figure": "name",
    "pairs": lambda row: len(row["pairs"]),
    "mean": "mean",
    "lowest": lambda row: row["pairs"][0].value,
    "of": lambda row: "{0.a}-{0.b}".format(row["pairs"][0]),
    "highest": lambda row: row["pairs"][-1].value,
    "of the highest": lambda row: "{0.a}-{0.b}".format(row["pairs"][-1]),
    "static, mean": "static",
}
ACROSS: Mapping[str, Get] = {
    "rating": "target",
    "features": "features",
    "directions": "n",
    "r, mean": "r",
    "lowest": "low",
    "highest": "high",
    "same language": "same",
    "permuted 97.5%": "permuted",
    "beyond permuted": lambda transfer: f"{transfer.beyond} of {transfer.tested}",
    "people": "reference",
}
STEERING: Mapping[str, Get] = {
    "language": "language",
    "emotion": "emotion",
    "answers": "n",
    "judged as it": "target_rate",
    "masked": "target_rate_masked",
    "unsteered": "base_rate",
    "perplexity ratio": "perplexity_ratio",
    "judge": "caveat",
}


def show_results(results: Results) -> None:
    """Print the tables that a study ends with.

    Ratings are given with concept words out of the test folds; p of the best component is that of the choice.
    """
    _show("Three questions: not shown is not no (docs/method.md)", VERDICT, verdict_rows(results))
    unanswered = (verdict.reason for verdict in results.verdicts if verdict.answer is None and verdict.reason)
    for reason in dict.fromkeys(unanswered):
        say(f"Not answered: {reason}")
    _show(
        "Ratings predicted from the emotion space, concept words out of the test folds",
        PREDICTION,
        prediction_rows(results),
    )
    title = "Categories in the model and in people"
    if len(results.manifest.languages) >= MANY:
        _show(title, BY_LANGUAGE, alignment_by_language(results))
    else:
        _show(title, ALIGNMENT, alignment_rows(results))

    _show("Languages against one another", BETWEEN, language_rows(results))
    _show("Ratings read in one language from another", ACROSS, transfers_of(results).values())
    steered = (record for record in results.steering if record.calibrated)
    _show("Steering, an illustration on a few prompts", STEERING, steered)
    for line in not_computed(results.not_computed):
        say(f"Not computed{line}")
    if chosen := results.manifest.category_list:
        say(f"Figures are of {chosen}.")
    if any(s.kind == "concepts" and s.provenance == "curated" for s in results.manifest.sources):
        say("Concept-sets are curated: written for emospace, not association data.")


def _show(title: str, columns: Mapping[str, Get], rows: Iterable[Any]) -> None:
    """Print a table that has rows."""
    names, values = bare(columns, rows)
    if values:
        table(title, names, values)


def not_computed(missing: Sequence[NotComputed]) -> Iterator[str]:
    """Yield what is not given and why, the languages of one reason together: `` (de, fr): what: why``."""
    for (what, why), gaps in grouped(missing, lambda gap: (gap.what, gap.why)).items():
        named = ", ".join(dict.fromkeys(gap.language for gap in gaps if gap.language))
        yield f"{f' ({named})' if named else ''}: {what}: {why}"


def verdict_rows(results: Results) -> Iterator[Sequence[Verdict]]:
    """Yield the three answers of each language, and of each thing asked about where languages are few."""
    languages = results.languages
    return (row for row in answer_rows(results, languages) if row[0].about is None or len(languages) < MANY)


def prediction_rows(results: Results) -> list[dict[str, PredictionRecord]]:
    """Return the records by feature set of each language, norms set and rating; of several static sources the better."""
    given = [record for record in results.prediction if record.excluded_concepts and record.r is not None]
    best_last = sorted(given, key=lambda record: record.r or 0.0)
    rows = cross_tabulated(best_last, _rating, lambda record: str(record.features))
    return [
        rows[key] for key in dict.fromkeys(map(_rating, results.prediction)) if "space" in rows.get(key, ())
    ]


def _rating(record: PredictionRecord) -> tuple[str, str, str]:
    return record.language, record.norms, record.target


def _of_main_space(results: Results) -> list[AlignmentRecord]:
    records = matching(results.alignment, space=main_space(results.alignment))
    return [record for record in records if record.value is not None]


def alignment_rows(results: Results) -> Iterator[AlignmentRecord]:
    """Yield the axes and RSA figures of the model's own space."""
    return (record for record in _of_main_space(results) if figure_name(record))


def alignment_by_language(results: Results) -> Iterator[dict[str, AlignmentRecord | None]]:
    """Yield for each language its best axes, and RSA with each kind of human structure beside static embeddings.

    Of several norms the first counts; of several structures of a kind the one of most categories.
    """
    by_language = grouped(_of_main_space(results), lambda record: record.language)
    for language in results.manifest.languages:
        records = by_language.get(language)
        if not records:
            continue
        rsa = sorted(matching(records, statistic="rsa_spearman"), key=lambda r: -r.n)
        words = [r for r in rsa if r.against.startswith("clics")]
        kinds = {
            "people": matching(records, statistic="rsa_spearman", against="valence_arousal"),
            "words": words,
            "texts": [r for r in rsa if r.against != "valence_arousal" and r not in words],
            "valence": matching(records, statistic="best_pc_r", target="valence"),
            "arousal": matching(records, statistic="best_pc_r", target="arousal"),
        }
        yield {
            "largest": max(records, key=lambda r: r.n),
            **{name: next(iter(matches), None) for name, matches in kinds.items()},
        }


def language_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Yield the pairs of languages of each statistic and space, the lowest figure first, and their means."""
    names = {"rsa_spearman": "RSA", "procrustes": "Procrustes fit"}
    for (statistic, space), records in grouped(
        results.language_rsa, lambda r: (r.statistic, r.space)
    ).items():
        of = {"statistic": statistic, "space": space}
        if pairs := [record for record in records if record.given]:
            yield {
                "name": f"{names[statistic]}, {space}",
                "pairs": sorted(pairs, key=lambda r: r.value or 0.0),
                "mean": results.mean("language_rsa", "value", **of),
                "static": results.mean("language_rsa", "baseline", **of),
            }


def figure_name(record: AlignmentRecord) -> str:
    """Return the name of an axis or RSA figure; empty for those that these tables leave out."""
    against = record.against.replace("_", "-")
    partial = not record.against.startswith(("clics", "brighter"))
    return {
        "best_pc_r": f"best of five PCs (PC{record.component}) with {record.target}",
        "pc1_r": f"PC1 with {record.target}",
        "rsa_spearman": f"RSA with {against}",
        "rsa_partial": f"RSA with {against}, given {record.controls}" if partial else "",
    }.get(record.statistic, "")
