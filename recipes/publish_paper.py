"""Fill docs/paper.md with our figures for each claim of the paper, and draw docs/images/gallery/.

    python recipes/publish_paper.py

Tables stand between ``<!-- NAME -->`` and ``<!-- /NAME -->``; they and the figures are made of docs/results/*.json alone, and
`tests/unit/test_site.py` compares both with these files. Every ``make`` target that publishes results calls this recipe.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from statistics import median
from typing import Any

from emospace.artefacts import read_json
from emospace.cli.tables import alignment_rows, prediction_rows
from emospace.display import between
from emospace.records import Results, matching
from publishing import DOCS, fill, markdown_table

PAGE = DOCS.parent / "paper.md"
STUDIES = {"Gemma": "gemma", "SmolLM2": "smollm2"}
STEERING = {
    "SmolLM2, English": "steering",
    "Gemma, English": "steering-gemma-en",
    "Gemma, Chinese": "steering-gemma-zh",
    "Gemma, Chinese by English concepts": "steering-gemma-zh-by-en",
}
RATINGS = ("valence", "arousal")
AXES = {"best_pc_r": "best of five PCs, r with", "rsa_spearman": "RSA with"}
AGAINST = {"valence_arousal": "people's valence-arousal distances", "goemotions": "GoEmotions co-annotation"}

Rows = Sequence[Sequence[object]]


@cache
def published(name: str) -> Mapping[str, Any]:
    """Return a published file of docs/results."""
    card: Mapping[str, Any] = read_json(DOCS / f"{name}.json")
    return card


@cache
def studies() -> Mapping[str, Results]:
    """Return the published studies by the name of their model."""
    return {model: Results.model_validate(published(name)["results"]) for model, name in STUDIES.items()}


def each() -> Iterator[tuple[str, Results, str]]:
    """Yield each study with each of its languages."""
    for model, results in studies().items():
        for language in results.languages:
            yield model, results, language


def features_table() -> str:
    """Return how many latents stand for the categories, and how well concepts of a category are told from others."""

    def rows() -> Iterator[Sequence[object]]:
        for model, results, language in each():
            records = matching(results.features, language=language)
            having = [record for record in records if record.n_features]
            space = next(iter(matching(results.prediction, language=language, features="space")), None)
            yield (
                model,
                language,
                f"{len(having)} of {len(records)}",
                space and space.n_features,
                median(record.auc for record in records if record.auc is not None),
                median(record.auc_static for record in records if record.auc_static is not None),
            )

    return markdown_table(
        (
            "model",
            "language",
            "categories with features",
            "features",
            "median AUC, dense",
            "median AUC, input embeddings",
        ),
        rows(),
    )


def arrangement_table() -> str:
    """Return how the categories are arranged in model and people, beside embeddings and the ceiling."""

    def rows() -> Iterator[Sequence[object]]:
        for model, results in studies().items():
            for record in alignment_rows(results):
                if record.statistic not in AXES or record.against not in AGAINST:
                    continue
                of = AGAINST[record.against] if record.statistic == "rsa_spearman" else record.target
                p = None if record.p is None else f"{record.p:.4f}"
                figure = f"{AXES[record.statistic]} {of}"
                yield (
                    model,
                    record.language,
                    figure + (f" (PC{record.component})" if record.component else ""),
                    record.n,
                    record.value,
                    between()(record),
                    p,
                    record.baseline,
                    record.ceiling,
                )

    names = (
        "model",
        "language",
        "figure",
        "categories",
        "value",
        "95% CI",
        "p",
        "input embeddings",
        "human ceiling",
    )
    return markdown_table(names, rows())


def geometry_table() -> str:
    """Return how well valence and arousal of left-out categories are decoded from CEBRA embeddings."""

    def rows() -> Iterator[Sequence[object]]:
        for model, results, language in each():
            for target in RATINGS:
                records = {
                    space: next(
                        iter(
                            matching(
                                results.alignment,
                                language=language,
                                statistic="cebra_r2",
                                space=space,
                                target=target,
                            )
                        ),
                        None,
                    )
                    for space in ("sae", "sae_shuffled")
                }
                cebra, shuffled = records["sae"], records["sae_shuffled"]
                if cebra is not None:
                    yield (
                        model,
                        language,
                        target,
                        cebra.n,
                        cebra.value,
                        between()(cebra),
                        cebra.baseline,
                        shuffled and shuffled.value,
                    )

    names = (
        "model",
        "language",
        "rating",
        "categories",
        "CEBRA R2",
        "95% CI",
        "PCA R2",
        "labels shuffled R2",
    )
    return markdown_table(names, rows())


def prediction_table() -> str:
    """Return r of the space beside its controls and the human ceiling."""

    def rows() -> Iterator[Sequence[object]]:
        for model, results in studies().items():
            for sets in prediction_rows(results):
                space = sets["space"]
                if space.target not in RATINGS:
                    continue
                others = ("outside", "shuffled", "top_firing", "static", "static_pcs", "dense")
                yield (
                    model,
                    space.language,
                    space.target,
                    space.n,
                    space.r,
                    between()(space),
                    *(name in sets and sets[name].r for name in others),
                    space.ceiling,
                )

    names = (
        *(
            "model",
            "language",
            "rating",
            "words",
            "space r",
            "95% CI",
            "outside",
            "shuffled sets",
            "most active",
        ),
        *("input embeddings", "as many PCs of these", "dense", "human ceiling"),
    )
    return markdown_table(names, rows())


def shared_table() -> str:
    """Return the space less the features that both languages share, with the margin of equivalence."""

    def rows() -> Iterator[Sequence[object]]:
        for model, results in studies().items():
            for sets in prediction_rows(results):
                space, shared = sets["space"], sets.get("shared")
                if space.target not in RATINGS or shared is None:
                    continue
                pairs = matching(
                    results.comparison,
                    language=space.language,
                    norms=space.norms,
                    target=space.target,
                    features="space",
                    against="shared",
                    excluded_concepts=True,
                )
                for pair in pairs:
                    yield (
                        model,
                        space.language,
                        space.target,
                        space.n_features,
                        space.r,
                        shared.n_features,
                        shared.r,
                        f"{pair.equivalence_low:.3f} to {pair.equivalence_high:.3f}",
                        "yes" if pair.equivalent else "no",
                    )

    names = (
        *("model", "language", "rating", "features", "space r", "shared features", "shared r"),
        *("90% CI of the difference", "within ±.03"),
    )
    return markdown_table(names, rows())


def valence_table() -> str:
    """Return r of valence and arousal, each also as a share of what raters' agreement allows."""

    def rows() -> Iterator[Sequence[object]]:
        for model, results in studies().items():
            spaces = [sets["space"] for sets in prediction_rows(results)]
            for valence in matching(spaces, target="valence"):
                for arousal in matching(
                    spaces, target="arousal", language=valence.language, norms=valence.norms
                ):
                    shares = [
                        record.r / record.ceiling
                        for record in (valence, arousal)
                        if record.r and record.ceiling
                    ]
                    yield (model, valence.language, valence.r, arousal.r, *(shares or (None, None)))

    names = ("model", "language", "valence r", "arousal r", "valence r / ceiling", "arousal r / ceiling")
    return markdown_table(names, rows())


def transfer_table() -> str:
    """Return ratings read in one language by what was fitted in the other."""

    def rows() -> Iterator[Sequence[object]]:
        for model, results in studies().items():
            for record in results.cross_language:
                if record.features in ("space", "shared", "dense", "static") and record.target in RATINGS:
                    yield (
                        model,
                        f"{record.train} to {record.test}",
                        record.target,
                        record.features,
                        record.r,
                        between()(record),
                        record.same_language,
                        record.permuted_high,
                        record.reference,
                    )

    names = (
        *("model", "languages", "rating", "features", "across r", "95% CI", "same language r"),
        *("permuted 97.5%", "people across"),
    )
    return markdown_table(names, rows())


def languages_table() -> str:
    """Return how far the spaces of two languages agree, and how many latents are features in both."""

    def rows() -> Iterator[Sequence[object]]:
        for model, results in studies().items():
            for record in matching(results.language_rsa, statistic="rsa_spearman"):
                both = next(iter(matching(results.universal, k=2)), None) if record.space == "sae" else None
                yield (
                    model,
                    record.space,
                    record.value,
                    between()(record),
                    f"{record.p:.4f}",
                    record.baseline,
                    both and both.n_latents,
                    both and f"{both.expected_low:.0f} to {both.expected_high:.0f}",
                )

    names = (
        "model",
        "space",
        "RSA, en with zh",
        "95% CI",
        "p",
        "input embeddings",
        "shared latents",
        "by chance",
    )
    return markdown_table(names, rows())


def steering_table() -> str:
    """Return what vectors do to the tone of answers, beside their controls."""
    figures = ("target_rate", "target_rate_masked", "perplexity_ratio", "above_random", "valence_r")
    kinds = ("mix", "sae", "dense", "prompt", "shuffled")

    def rows() -> Iterator[Sequence[object]]:
        for name, file in STEERING.items():
            # The name of vectors under guidance says which; those without it are the comparison within that study.
            cells = {
                (row["kind"].partition(" guidance=")[0], row["figure"]): row
                for row in published(file)["figures"]
                if not row["kind"].endswith("guidance=plain")
            }
            for kind in kinds:
                if (kind, "target_rate") in cells:
                    rate = cells[kind, "target_rate"]
                    values = [cells.get((kind, figure), {}).get("value") for figure in figures]
                    span = f"{rate['value_low']:.2f} to {rate['value_high']:.2f}"
                    yield (name, kind, values[0], span, *values[1:], rate["n"])

    names = (
        *("study", "vectors", "judged as the target", "95% CI", "emotion words masked", "perplexity ratio"),
        *("share of emotions above random", "valence r", "prompts"),
    )
    return markdown_table(names, rows())


TABLES = {
    "features": features_table,
    "arrangement": arrangement_table,
    "geometry": geometry_table,
    "prediction": prediction_table,
    "shared": shared_table,
    "valence": valence_table,
    "transfer": transfer_table,
    "languages": languages_table,
    "steering": steering_table,
}


def written(mark: str) -> str:
    """Return what stands between the marks of a table on the page."""
    between_marks = re.search(
        rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    return between_marks[1] if between_marks else ""


def main() -> None:
    """Write the tables and the figures."""
    from gallery import draw

    for mark, table in TABLES.items():
        fill(PAGE, mark, table())
    for path in draw():
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
