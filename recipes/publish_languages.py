"""Publish what a study in many languages found under docs/results.

    python recipes/publish_languages.py RUN --command COMMAND

Writes ``docs/results/languages.json`` (the records between languages, those of the weights of valence and arousal, of
human structures, of concepts by category and of ratings within each language, with date, machine and command) and
``languages.md``; of a run of `emospace steer languages`, ``steering-languages.json`` and its page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from emospace.artefacts import write_json, write_text
from emospace.display import Get, between, say
from emospace.evaluation.summary import MATRIX, source_of
from emospace.records import CrossLanguageRecord, PredictionRecord, Results, cross_tabulated, matching
from emospace.report.columns import of_first, of_named
from emospace.study.summary import category_aucs
from publishing import gaps, load, made_by, made_on, markdown, markdown_table, parser

BETWEEN = ("language_rsa", "cross_language", "category_shift", "universal", "families")
WITHIN = ("space", "shared", "specific", "outside", "dense", "static")
CONTROLS = (*WITHIN, "outside_shared", "surface")
STEERED = ("rate", "masked", "unsteered", "perplexity ratio", "in its language")
FEATURES = ("space", "shared", "specific", "universal", "dense", "static")


def figures(results: Results) -> dict[str, Any]:
    """Return the published records of a study."""
    kept = results.model_dump(mode="json")
    return {
        "model": kept["model"],
        "sae": kept["sae"],
        "manifest": kept["manifest"],
        **{kind: kept[kind] for kind in BETWEEN},
        "weights": [row for row in kept["alignment"] if row["statistic"] == "rdm_weight"],
        "structures": [
            row
            for row in kept["alignment"]
            if row["statistic"] == "rsa_spearman" and row["against"] != "valence_arousal"
        ],
        "people": [
            row
            for row in kept["alignment"]
            if row["against"] == "valence_arousal" and row["statistic"] in ("rsa_spearman", "best_pc_r")
        ],
        "prediction": [
            row for row in kept["prediction"] if row["features"] in CONTROLS and row["excluded_concepts"]
        ],
        "comparison": [row for row in kept["comparison"] if row["excluded_concepts"]],
        "features": kept["features"],
        "not_computed": kept["not_computed"],
    }


def _r(name: str) -> Get:
    """Return what gives r of a feature set, None where a row lacks it."""
    return of_named(name, "r")


def _span(low: str = "ci_low", high: str = "ci_high") -> Get:
    return lambda row: between(low, high, 3)(row) or "–"


RATING: Mapping[str, Get] = {"language": "language", "norms": "norms", "target": "target"}
WITHIN_TABLE: Mapping[str, Get] = {
    **{name: of_first(name) for name in RATING},
    **{name: _r(name) for name in WITHIN},
    "n": of_first("n"),
}
AUC: Mapping[str, Get] = {
    "language": "language",
    "mean AUC": "mean",
    "lowest": "lowest",
    "highest": "highest",
    "input embeddings": "static",
    "above chance": "n_above",
    "categories": "n",
}
ACROSS: Mapping[str, Get] = {
    **{name: of_first(name) for name in ("train", "test", "target")},
    **{name: _r(name) for name in FEATURES},
    "same language (space)": lambda row: row["space"].same_language,
    "permuted 95% (space)": lambda row: _span("permuted_low", "permuted_high")(row["space"]),
    "people": lambda row: row["space"].reference,
    "n": lambda row: row["space"].n,
}
UNIVERSAL: Mapping[str, Get] = {
    "k": "k",
    "latents": "n_latents",
    "expected": "expected",
    "95%": _span("expected_low", "expected_high"),
    "p": "p",
}
WEIGHTS: Mapping[str, Get] = {
    "language": "language",
    "target": "target",
    "weight": "value",
    "95%": _span(),
    "p": "p",
    "n": "n",
}
STRUCTURES: Mapping[str, Get] = {
    "language": "language",
    "structure": "against",
    "RSA": "value",
    "95%": _span(),
    "p": "p",
    "static": "baseline",
    "n": "n",
}
SHIFTS: Mapping[str, Get] = {
    "a": "a",
    "b": "b",
    "category": "category",
    "1 - rho": "value",
    "noise": "noise",
    "excess": "excess",
    "95%": _span(),
}
SHARED: Mapping[str, Get] = {
    **{name: lambda row, name=name: getattr(row["pair"], name) for name in RATING},
    "shared r": lambda row: row["shared"].r,
    "outside r": lambda row: row["outside"].r,
    "draws beaten": lambda row: row["shared"].draws_beaten,
    "p": "p",
    "space - shared": lambda row: row["pair"].difference,
    "90%": lambda row: _span("equivalence_low", "equivalence_high")(row["pair"]),
    "margin": lambda row: row["pair"].margin,
    "equivalent": lambda row: "yes" if row["pair"].equivalent else "no",
}


def sections(results: Results) -> Iterator[str]:
    """Yield the tables of a study."""
    languages = results.manifest.languages
    yield f"## {results.model.model}, {len(languages)} languages\n"
    yield "Ratings within each language (r, concept words out of the test folds):\n"
    yield markdown(WITHIN_TABLE, _within(results))
    if by_language := list(category_aucs(results)):
        yield "\nConcepts held out of each category, separated from those of all others (AUC, no ratings needed):\n"
        yield markdown(AUC, by_language)
    if shared := list(_shared(results)):
        yield (
            "\nShared features against as many matched ones from outside the spaces, and against the whole space "
            "(two one-sided tests within the margin):\n"
        )
        yield markdown(SHARED, shared)
    yield "\nRatings across languages: r in the test language of ridge fitted in the training language.\n"
    yield markdown(ACROSS, _across(results))
    for space in dict.fromkeys(row.space for row in results.language_rsa):
        yield f"\nRSA of the languages' spaces, {space} (below the diagonal; above it p from the Mantel test):\n"
        yield markdown_table(("", *languages), _matrix(results, space))
    yield "\nMeans over the pairs, beside what could explain them:\n"
    yield markdown_table(
        ("space", "pairs", "RSA", "without shared spellings", "static embeddings"), _means(results)
    )
    yield "\nLatents that are features in at least k languages:\n"
    yield markdown(UNIVERSAL, results.universal)
    yield "\nWeights of valence and arousal in each language's RDM (ratings of one language for all):\n"
    yield markdown(WEIGHTS, (row for row in results.alignment if row.statistic == "rdm_weight"))
    yield "\nHuman structures of the categories (RSA, Spearman; main space):\n"
    space = "dense" if results.sae is None else "sae"
    yield markdown(
        STRUCTURES,
        (
            row
            for row in results.alignment
            if (row.statistic, row.space) == ("rsa_spearman", space) and row.against != "valence_arousal"
        ),
    )
    shifted = [row for row in results.category_shift if row.shifted]
    yield (
        f"\n{len(shifted)} of {len(results.category_shift)} categories of a pair sit differently beyond the noise of "
        "their concept-sets; the twenty that differ most:\n"
    )
    yield markdown(SHIFTS, sorted(shifted, key=lambda row: -(row.excess or 0))[:20])
    for row in results.families:
        yield (
            f"\nLanguages of one family against those of different ones: difference of mean RSA "
            f"{_number(row.value)} (p {_number(row.p)}, {row.n_within} pairs within families)"
            f"{'; ' + row.reason if row.reason else ''}. Cophenetic r of the tree {_number(row.cophenetic)}.\n"
        )
    yield f"\n### Not computed\n\n{gaps(results.not_computed)}\n"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _within(results: Results) -> Iterable[dict[str, PredictionRecord]]:
    """Return the records by feature set of each language, norms set and rating."""
    given = (
        record
        for record in matching(results.prediction, excluded_concepts=True)
        if record.features in WITHIN and record.static_source in (None, "input embeddings")
    )
    return cross_tabulated(given, lambda r: (r.language, r.norms, r.target), lambda r: r.features).values()


def _shared(results: Results) -> Iterator[dict[str, Any]]:
    rows = {
        (row.language, row.norms, row.target, row.features): row
        for row in results.prediction
        if row.excluded_concepts
    }
    for pair in matching(results.comparison, features="space", against="shared", excluded_concepts=True):
        key = (pair.language, pair.norms, pair.target)
        shared, outside = rows.get((*key, "shared")), rows.get((*key, "outside_shared"))
        if shared is None or outside is None or shared.draws_beaten is None or not outside.n_draws:
            continue
        above = round((1 - shared.draws_beaten) * outside.n_draws)
        p = (1 + above) / (1 + outside.n_draws)
        yield {"pair": pair, "shared": shared, "outside": outside, "p": p}


def _across(results: Results) -> Iterable[dict[str, CrossLanguageRecord]]:
    """Return the records by feature set of each direction and rating."""
    records = results.cross_language
    return cross_tabulated(records, lambda r: (r.train, r.test, r.target), lambda r: r.features).values()


def _matrix(results: Results, space: str) -> Iterator[tuple[object, ...]]:
    records = matching(results.language_rsa, statistic="rsa_spearman", space=space)
    pairs = {(row.a, row.b): row for row in records}
    for language in results.manifest.languages:
        cells: list[object] = []
        for other in results.manifest.languages:
            above, below = pairs.get((language, other)), pairs.get((other, language))
            cells.append(below.value if below else f"p {_number(above.p)}" if above else None)
        yield (language, *cells)


def _means(results: Results) -> Iterator[tuple[object, ...]]:
    records = [
        row for row in results.language_rsa if row.statistic == "rsa_spearman" and row.value is not None
    ]
    for space in dict.fromkeys(row.space for row in records):
        of = {"statistic": "rsa_spearman", "space": space}
        means = (results.mean("language_rsa", name, **of) for name in ("value", "distinct", "baseline"))
        yield (space, sum(row.space == space for row in records), *means)


def steering_section(results: Results) -> str:
    """Return the matrix of the concepts' language by the answers' language."""
    rows = [row for row in results.steering if row.vector not in ("none", "random")]
    outputs = list(dict.fromkeys(row.language for row in rows))

    def cells(source: str) -> Iterator[object]:
        yield source
        for output in outputs:
            for name in MATRIX:
                yield results.mean("steering", name, source=source, language=output)

    columns = [f"{output}: {name}" for output in outputs for name in STEERED]
    sources = dict.fromkeys(source_of(row) for row in rows)
    return (
        "## Steering across languages\n\n"
        "Mean over the basic six of the share of answers the reporting judge takes for the target; rows are the "
        "language of the concepts the vectors were made of, columns that of prompts and answers.\n\n"
        + markdown_table(("concepts", *columns), (tuple(cells(source)) for source in sources))
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    options = parser(__doc__).parse_args(arguments)
    results, card = load(options.run), made_by(options.command)
    if results.language_rsa:
        name, kept, parts = "languages", figures(results), list(sections(results))
    else:
        name, kept = "steering-languages", {"steering": results.model_dump(mode="json")["steering"]}
        parts = [steering_section(results)]
    target = options.docs / f"{name}.json"
    write_json(target, {**card, **kept})
    head = (
        f"# Results: {name}\n\n{made_on(card)} Concept-sets are curated. Written by "
        f"`recipes/publish_languages.py` from [{name}.json]({name}.json).\n"
    )
    write_text(target.with_suffix(".md"), "\n".join([head, *parts]) + "\n")
    say(f"Written: {target} and {target.with_suffix('.md')}")


if __name__ == "__main__":
    main(sys.argv[1:])
