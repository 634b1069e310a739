"""Publish what a study in many languages found under docs/results.

    python recipes/publish_languages.py RUN [--steering RUN] --command COMMAND

Writes ``docs/results/languages.json`` (the records between languages, those of the weights of valence and arousal, of
human structures, of concepts told by category and of ratings within each language, with date, machine and command) and
``languages.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emospace.artefacts import write_json, write_text
from emospace.display import say
from emospace.evaluation.summary import MATRIX, source_of
from emospace.records import CrossLanguageRecord, PredictionRecord, Results
from emospace.study.summary import category_aucs
from publish_results import DOCS, made_by, markdown_table, without_paths

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


def sections(results: Results) -> Iterator[str]:
    """Yield the tables of a study."""
    languages = results.manifest.languages
    yield f"## {results.model.model}, {len(languages)} languages\n"
    yield "Ratings within each language (r, concept words out of the test folds):\n"
    yield markdown_table(("language", "norms", "target", *WITHIN, "n"), _within(results))
    if by_language := list(category_aucs(results)):
        yield "\nConcepts held out of each category, told from those of all others (AUC, no ratings needed):\n"
        yield markdown_table(
            ("language", "mean AUC", "lowest", "highest", "input embeddings", "above chance", "categories"),
            by_language,
        )
    if shared := list(_shared(results)):
        yield (
            "\nShared features against as many matched ones from outside the spaces, and against the whole space "
            "(two one-sided tests within the margin):\n"
        )
        yield markdown_table(
            (
                *(
                    "language",
                    "norms",
                    "target",
                    "shared r",
                    "outside r",
                    "draws beaten",
                    "p",
                    "space - shared",
                ),
                *("90%", "margin", "equivalent"),
            ),
            shared,
        )
    yield "\nRatings across languages: r in the test language of ridge fitted in the training language.\n"
    yield markdown_table(
        (
            "train",
            "test",
            "target",
            *FEATURES,
            "same language (space)",
            "permuted 95% (space)",
            "people",
            "n",
        ),
        _across(results),
    )
    for space in dict.fromkeys(row.space for row in results.language_rsa):
        yield f"\nRSA of the languages' spaces, {space} (below the diagonal; above it p from the Mantel test):\n"
        yield markdown_table(("", *languages), _matrix(results, space))
    yield "\nMeans over the pairs, beside what could explain them:\n"
    yield markdown_table(
        ("space", "pairs", "RSA", "without shared spellings", "static embeddings"), _means(results)
    )
    yield "\nLatents that are features in at least k languages:\n"
    yield markdown_table(
        ("k", "latents", "expected", "95%", "p"),
        (
            (row.k, row.n_latents, row.expected, _span(row.expected_low, row.expected_high), row.p)
            for row in results.universal
        ),
    )
    yield "\nWeights of valence and arousal in each language's RDM (ratings of one language for all):\n"
    yield markdown_table(
        ("language", "target", "weight", "95%", "p", "n"),
        (
            (row.language, row.target, row.value, _span(row.ci_low, row.ci_high), row.p, row.n)
            for row in results.alignment
            if row.statistic == "rdm_weight"
        ),
    )
    yield "\nHuman structures of the categories (RSA, Spearman; main space):\n"
    yield markdown_table(
        ("language", "structure", "RSA", "95%", "p", "static", "n"),
        (
            (row.language, row.against, row.value, _span(row.ci_low, row.ci_high), row.p, row.baseline, row.n)
            for row in results.alignment
            if row.statistic == "rsa_spearman"
            and row.against != "valence_arousal"
            and row.space in ("sae", "dense")
            and row.space == _kind(results)
        ),
    )
    shifted = [row for row in results.category_shift if row.shifted]
    yield (
        f"\n{len(shifted)} of {len(results.category_shift)} categories of a pair sit differently beyond the noise of "
        "their concept-sets; the twenty that differ most:\n"
    )
    most = sorted(shifted, key=lambda row: -(row.excess or 0))[:20]
    yield markdown_table(
        ("a", "b", "category", "1 - rho", "noise", "excess", "95%"),
        (
            (row.a, row.b, row.category, row.value, row.noise, row.excess, _span(row.ci_low, row.ci_high))
            for row in most
        ),
    )
    for row in results.families:
        yield (
            f"\nLanguages of one family against those of different ones: difference of mean RSA "
            f"{_number(row.value)} (p {_number(row.p)}, {row.n_within} pairs within families)"
            f"{'; ' + row.reason if row.reason else ''}. Cophenetic r of the tree {_number(row.cophenetic)}.\n"
        )
    missing = "\n".join(
        f"- {item.what} ({item.language or 'all'}): {item.why}" for item in results.not_computed
    )
    yield f"\n### Not computed\n\n{missing or 'Nothing was left out.'}\n"


def _kind(results: Results) -> str:
    return "dense" if results.sae is None else "sae"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _span(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _within(results: Results) -> Iterator[tuple[object, ...]]:
    rows: dict[tuple[str, ...], PredictionRecord] = {
        (row.language, row.norms, row.target, row.features): row
        for row in results.prediction
        if row.excluded_concepts and row.static_source in (None, "input embeddings")
    }
    for language, norms, target in dict.fromkeys(key[:3] for key in rows):
        found = {name: rows.get((language, norms, target, name)) for name in WITHIN}
        n = next(row.n for row in found.values() if row is not None)
        yield (language, norms, target, *(row.r if row else None for row in found.values()), n)


def _shared(results: Results) -> Iterator[tuple[object, ...]]:
    rows = {
        (row.language, row.norms, row.target, row.features): row
        for row in results.prediction
        if row.excluded_concepts
    }
    for row in results.comparison:
        if (row.features, row.against, row.excluded_concepts) != ("space", "shared", True):
            continue
        shared = rows.get((row.language, row.norms, row.target, "shared"))
        outside = rows.get((row.language, row.norms, row.target, "outside_shared"))
        if shared is None or outside is None or shared.draws_beaten is None or not outside.n_draws:
            continue
        above = round((1 - shared.draws_beaten) * outside.n_draws)
        yield (
            *(row.language, row.norms, row.target, shared.r, outside.r, shared.draws_beaten),
            *((1 + above) / (1 + outside.n_draws), row.difference),
            *(
                _span(row.equivalence_low, row.equivalence_high),
                row.margin,
                "yes" if row.equivalent else "no",
            ),
        )


def _across(results: Results) -> Iterator[tuple[object, ...]]:
    rows: dict[tuple[str, ...], CrossLanguageRecord] = {
        (row.train, row.test, row.target, row.features): row for row in results.cross_language
    }
    for train, test, target in dict.fromkeys(key[:3] for key in rows):
        found = [rows.get((train, test, target, name)) for name in FEATURES]
        space = rows[train, test, target, "space"]
        yield (
            *(train, test, target),
            *(row.r if row else None for row in found),
            *(space.same_language, _span(space.permuted_low, space.permuted_high), space.reference, space.n),
        )


def _matrix(results: Results, space: str) -> Iterator[tuple[object, ...]]:
    pairs = {
        (row.a, row.b): row
        for row in results.language_rsa
        if row.statistic == "rsa_spearman" and row.space == space
    }
    for one in results.manifest.languages:
        cells: list[object] = []
        for other in results.manifest.languages:
            above, below = pairs.get((one, other)), pairs.get((other, one))
            cells.append(below.value if below else f"p {_number(above.p)}" if above else None)
        yield (one, *cells)


def _means(results: Results) -> Iterator[tuple[object, ...]]:
    found = [row for row in results.language_rsa if row.statistic == "rsa_spearman" and row.value is not None]
    for space in dict.fromkeys(row.space for row in found):
        of = {"statistic": "rsa_spearman", "space": space}
        means = (results.mean("language_rsa", name, **of) for name in ("value", "distinct", "baseline"))
        yield (space, sum(row.space == space for row in found), *means)


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--steering", type=Path)
    parser.add_argument("--command", required=True)
    parser.add_argument("--docs", type=Path, default=DOCS)
    options = parser.parse_args(arguments)

    def load(run: Path) -> Results:
        return Results.model_validate(
            without_paths(Results.load(run / "results.json").model_dump(mode="json"))
        )

    results = load(options.run)
    steered = load(options.steering) if options.steering else None
    card = made_by(options.command)
    steering = steered.model_dump(mode="json")["steering"] if steered else []
    target = options.docs / "languages.json"
    write_json(target, {**card, **figures(results), "steering": steering})
    on = card["machine"]
    head = (
        f"# Results: languages\n\nMade on {card['date']} with `{card['command']}` on {on['cpu']}, {on['cores']} cores, "
        f"{on['memory_gib']} GiB. Concept-sets are curated. Written by `recipes/publish_languages.py` from "
        "[languages.json](languages.json).\n"
    )
    parts = [head, *sections(results)]
    if steered is not None:
        parts.append(steering_section(steered))
    write_text(target.with_suffix(".md"), "\n".join(parts) + "\n")
    say(f"Written: {target} and {target.with_suffix('.md')}")


if __name__ == "__main__":
    main(sys.argv[1:])
