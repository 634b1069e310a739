"""Compare settings of selection and space on concept words alone: no human rating is looked at.

    python recipes/choose_settings.py --run runs/demo --out docs/results/settings.json

**Rule.** Features are selected from four fifths of each category's concepts and of the pool. On the other fifth, a
ridge classifier tells concepts from pool words with (a) the selected latents, (b) matched draws from outside
them. The rule whose latents win by most is the default.

**Space.** Each category's concepts are split in random halves, a space is built from either half, and their RDMs
are correlated (``split_half_rdm``). The transform and scale whose spaces agree best are the default.

**Dense states and input embeddings.** The same for ways of comparing them, beside how well the concepts of one half
that the other lacks are classified by their correlation with its category vectors (``auc``); and for directions of
categories, how well projections on them separate such concepts.

**Layer.** With ``--layers 3,5,7``, the two figures of dense states at each of these layers and nothing else: an
autoencoder is trained where halves agree best and held-out concepts are classified best.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from emospace.artefacts import write_json
from emospace.concepts import ConceptSets
from emospace.display import table
from emospace.features import EFFECTS, MatchedPool, dense_directions, select_features
from emospace.prediction import latent_profile, matched_draws
from emospace.space import build_space, standardise
from emospace.stats import auc, condensed, spearman
from emospace.study import StudySpec
from emospace.study.inputs import Inputs, load_inputs
from emospace.study.selecting import FEATURES, select
from publishing import made_by

FOLDS, DRAWS, HALVES, PENALTY = 5, 40, 20, 300.0
DIRECTION_HALVES = 5
SHIPPED = "pool, 3 components removed"


def halves_of(sets: ConceptSets, n: int) -> Iterator[tuple[ConceptSets, ConceptSets]]:
    """Yield concept-sets of random halves of each category's concepts."""
    for split in range(n):
        half = np.random.default_rng(split).random(len(sets.table)) < 0.5
        first, second = (
            replace(sets, table=sets.table[part].reset_index(drop=True)) for part in (half, ~half)
        )
        yield first, second


def dense_alternatives(concepts: np.ndarray, pool: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features of concepts under each way of comparing dense states, ``[n_concepts, n_features]``."""
    from sklearn.covariance import ledoit_wolf

    centred = concepts - pool.mean(0)
    share = pool.var(0) / pool.var(0).sum()
    options = {"transform": "raw", "scale": "pool"}
    ways = {
        "raw": centred,
        "outlier dimensions left out (over 20 times their share)": centred[:, share < 20 / len(share)],
        "pool": standardise(concepts, pool=pool, **options),
    }
    for n in (1, 3, 6, 10):
        ways[f"pool, {n} components removed"] = standardise(concepts, pool=pool, n_removed=n, **options)
    spread = pool.std(0)
    covariance, _ = ledoit_wolf((pool - pool.mean(0)) / spread)
    size, axes = np.linalg.eigh(covariance)
    turned = centred / spread @ axes
    return ways | {"pool, half whitened": turned / size**0.25, "pool, whitened": turned / size**0.5}


def held_out_auc(scores: np.ndarray, words: Sequence[str], sets: ConceptSets, language: str) -> float:
    """Return the mean AUC of categories (of three held-out concepts or more), scores ``[n_words, n_categories]``."""
    labels = [
        np.isin(words, sets.words(language, name)) for name in sets.categories if sets.words(language, name)
    ]
    return float(
        np.mean(
            [
                auc(column, held).value
                for column, held in zip(scores.T, labels, strict=True)
                if held.sum() >= 3
            ]
        )
    )


def compare_dense(
    study: Inputs, language: str, kind: str, names: Sequence[str] = ()
) -> list[tuple[str, str, str, float, float]]:
    """Return for each way of comparing states or embeddings the agreement of halves and the AUC of the others.

    `names` are the ways compared, all of `dense_alternatives` unless given.
    """
    sets, encoded = study.languages[language].sets, study.languages[language].words.concept_words.get()
    values = (encoded.static if kind == "static" else encoded.states).astype(np.float64)
    n = len(sets.words(language))
    row_of = {word: row for row, word in enumerate(encoded.words)}
    figures = []
    alternatives = dense_alternatives(values[:n], values[n:])
    for name, features in (
        alternatives.items() if not names else [(name, alternatives[name]) for name in names]
    ):
        agreement, aucs = [], []
        for parts in halves_of(sets, HALVES):
            spaces = []
            for part in parts:
                words = list(part.words(language))
                rows = features[[row_of[word] for word in words]]
                spaces.append(build_space(rows, words, part, language, kind=kind, scale="none"))
            agreement.append(float(spearman(*(condensed(space.rdm()) for space in spaces))))
            kept = set(parts[0].words(language))
            others = [word for word in parts[1].words(language) if word not in kept]
            mean = spaces[0].matrix.mean(0)
            together = np.concatenate([features[[row_of[word] for word in others]], spaces[0].matrix]) - mean
            scores = np.corrcoef(together)[: len(others), len(others) :]
            aucs.append(held_out_auc(scores, others, parts[1], language))
        figures.append((language, kind, name, float(np.mean(agreement)), float(np.mean(aucs))))
    return figures


def compare_layers(spec: StudySpec, layers: Sequence[int], run: Path) -> list[tuple[str, int, float, float]]:
    """Return for each language and layer the agreement of halves and the held-out AUC, settings as shipped."""
    rows = []
    for layer in layers:
        study = load_inputs(spec.model_copy(update={"sae": "none", "layer": layer}), run)
        for language in spec.languages:
            dense = compare_dense(study, language, "dense", names=(SHIPPED,))
            rows += [(language, layer, agreement, score) for _, _, _, agreement, score in dense]
    return rows


def compare_directions(study: Inputs, language: str) -> list[tuple[str, str, float]]:
    """Return for each kind of dense direction how well projections tell concepts that had no part in it."""
    inputs = study.languages[language]
    sets, pool, encoded = inputs.sets, inputs.pool, inputs.words.concept_words.get()
    row_of = {word: row for row, word in enumerate(encoded.words)}
    figures = []
    for kind in ("mean_difference", "lda"):
        aucs = []
        for first, second in halves_of(sets, DIRECTION_HALVES):
            directions = dense_directions(encoded.states, encoded.words, first, language, pool, kind)
            kept = set(first.words(language))
            others = [word for word in second.words(language) if word not in kept]
            scores = encoded.states[[row_of[word] for word in others]] @ directions.T
            aucs.append(held_out_auc(scores, others, second, language))
        figures.append((language, kind, float(np.mean(aucs))))
    return figures


def classify(values: np.ndarray, labels: np.ndarray, train: np.ndarray) -> float:
    """Return the held-out AUC of a ridge classifier on standardised features."""
    scaled = (values - values[train].mean(0)) / (values[train].std(0) + 1e-6)
    x, y = scaled[train], labels[train] - labels[train].mean()
    weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ y)
    return auc(scaled[~train] @ weights, labels[~train]).value


def compare_spaces(study: Inputs, language: str, latents: np.ndarray) -> list[tuple[str, str, str, float]]:
    """Return the mean agreement of RDMs from random halves of the concepts, for each transform and scale."""
    sets, encoded = study.languages[language].sets, study.languages[language].words.concept_words.get()
    assert encoded.codes is not None
    row_of = {word: row for row, word in enumerate(encoded.words)}
    neutral = encoded.codes[len(sets.words(language)) :]
    figures = []
    for transform in ("log1p", "raw"):
        for scale in ("pool", "categories", "none"):
            agreement = []
            for parts in halves_of(sets, HALVES):
                rdms = []
                for part in parts:
                    words = list(part.words(language))
                    codes = encoded.codes[[row_of[word] for word in words]]
                    space = build_space(
                        codes, words, part, language, latents, pool=neutral, transform=transform, scale=scale
                    )
                    rdms.append(condensed(space.rdm()))
                agreement.append(float(spearman(*rdms)))
            figures.append((language, transform, scale, float(np.mean(agreement))))
    return figures


def main() -> None:
    """Parse, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--sae", default="auto")
    parser.add_argument("--languages", default="en,zh")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/demo"), help="run folder whose activations serve"
    )
    parser.add_argument(
        "--dense-only", action="store_true", help="leave out rules and the space of the SAE (minutes)"
    )
    parser.add_argument("--layers", default="", help="compare these layers by dense states, and nothing else")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    languages = tuple(options.languages.split(","))
    command = shlex.join(["python", "recipes/choose_settings.py", *sys.argv[1:]])
    provenance = made_by(command) | {"model": options.model}
    if options.layers:
        layers = [int(layer) for layer in options.layers.split(",")]
        by_layer = ["language", "layer", "split_half_rdm", "auc"]
        figures = compare_layers(StudySpec(model=options.model, languages=languages), layers, options.run)
        table("Dense states by layer: random halves of the concepts", by_layer, figures)
        write_json(
            options.out, provenance | {"layers": [dict(zip(by_layer, row, strict=True)) for row in figures]}
        )
        return
    study = load_inputs(StudySpec(model=options.model, sae=options.sae, languages=languages), options.run)
    rows, spaces, dense, directions = [], [], [], []
    for language in languages:
        dense += compare_dense(study, language, "dense") + compare_dense(study, language, "static")
        directions += compare_directions(study, language)
        if options.dense_only:
            continue
        features = select(study.languages[language], study.spec, options.run / "stages").tables[FEATURES]
        spaces += compare_spaces(study, language, np.unique(features.latent))
        rng = np.random.default_rng(0)
        inputs = study.languages[language]
        encoded, pool, sets = inputs.words.concept_words.get(), inputs.pool, inputs.sets
        assert encoded.codes is not None
        concepts = sets.words(language)
        fold_of = {
            word: int(fold)
            for word, fold in zip(concepts, rng.integers(0, FOLDS, len(concepts)), strict=True)
        }
        pool_fold = rng.integers(0, FOLDS, len(pool.words))
        words = [*concepts, *pool.words]
        values = encoded.codes.log1p().tocsc()
        labels = np.arange(len(words)) < len(concepts)
        for rule in EFFECTS:
            for fold in range(FOLDS):
                kept = sets.table[(sets.table.language == language) & (sets.table.word.map(fold_of) != fold)]
                part = replace(sets, table=kept.reset_index(drop=True))
                inside = np.array([fold_of[word] != fold for word in concepts])
                rest = MatchedPool(
                    tuple(word for word, at in zip(pool.words, pool_fold, strict=True) if at != fold),
                    np.array([pool.concept_strata[concepts.index(word)] for word in part.words(language)]),
                    pool.pool_strata[pool_fold != fold],
                    pool.matched_on,
                    pool.n_unmatched,
                )
                chosen = select_features(
                    encoded.codes, encoded.words, part, language, rest, rule=rule, n_permutations=0
                ).latents
                train = np.concatenate([inside, pool_fold != fold])
                draws = matched_draws(chosen, latent_profile(values), DRAWS, seed=fold).draws
                space = classify(values[:, chosen].toarray(), labels, train)
                outside = [classify(values[:, draw].toarray(), labels, train) for draw in draws]
                rows.append((language, rule, fold, len(chosen), space, float(np.mean(outside))))
    summary = []
    for language in () if options.dense_only else languages:
        for rule in EFFECTS:
            figures = np.array([row[3:] for row in rows if row[:2] == (language, rule)])
            n, space, outside = figures.mean(0)
            summary.append((language, rule, round(n), space, outside, space - outside))
    columns = ["language", "rule", "n_features", "auc_space", "auc_outside", "margin"]
    table("Held-out concepts against pool words", columns, summary)
    header = ["language", "transform", "scale", "split_half_rdm"]
    table("Spaces from random halves of the concepts", header, spaces)
    ways = ["language", "kind", "features", "split_half_rdm", "auc"]
    table("Dense states and input embeddings: random halves of the concepts", ways, dense)
    columns_of_directions = ["language", "directions", "auc"]
    table("Directions of categories: held-out concepts", columns_of_directions, directions)
    write_json(
        options.out,
        provenance
        | {
            "rule": [dict(zip(columns, row, strict=True)) for row in summary],
            "space": [dict(zip(header, row, strict=True)) for row in spaces],
            "dense": [dict(zip(ways, row, strict=True)) for row in dense],
            "directions": [dict(zip(columns_of_directions, row, strict=True)) for row in directions],
        },
    )


if __name__ == "__main__":
    main()
