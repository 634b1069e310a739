"""Compare rules of feature selection on held-out concept words, without any rating.

    python recipes/choose_rule.py --out docs/results/selection_rule.json

Features are selected from four fifths of each category's concepts and of the pool. On the other fifth, a ridge
classifier tells concepts from pool words with (a) the selected latents, (b) matched draws from outside them.
The rule whose latents win by most is the default; human ratings are never looked at.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from emospace.artefacts import write_json
from emospace.display import table
from emospace.features import EFFECTS, MatchedPool, select_features
from emospace.prediction import latent_profile, matched_draws
from emospace.study import Study, StudySpec

FOLDS, DRAWS, PENALTY = 5, 40, 300.0


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the chance that a concept word scores above a pool word."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    n_in, n_out = labels.sum(), (~labels).sum()
    return float((ranks[labels].sum() - n_in * (n_in + 1) / 2) / (n_in * n_out))


def classify(values: np.ndarray, labels: np.ndarray, train: np.ndarray) -> float:
    """Return the held-out AUC of a ridge classifier on standardised features."""
    scaled = (values - values[train].mean(0)) / (values[train].std(0) + 1e-6)
    x, y = scaled[train], labels[train] - labels[train].mean()
    weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ y)
    return auc(scaled[~train] @ weights, labels[~train])


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
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    languages = tuple(options.languages.split(","))
    study = Study(StudySpec(model=options.model, sae=options.sae, languages=languages), options.run)
    rows = []
    for language in languages:
        rng = np.random.default_rng(0)
        encoded, pool, sets = study.encoded(language), study.pool(language), study.sets
        assert encoded.codes is not None
        concepts = sets.words(language)
        fold_of = {
            word: int(fold)
            for word, fold in zip(concepts, rng.integers(0, FOLDS, len(concepts)), strict=True)
        }
        pool_fold = rng.integers(0, FOLDS, len(pool.words))
        words = [*concepts, *pool.words]
        values = encoded.codes[encoded.rows(words)].log1p().tocsc()
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
    for language in languages:
        for rule in EFFECTS:
            found = np.array([row[3:] for row in rows if row[:2] == (language, rule)])
            n, space, outside = found.mean(0)
            summary.append((language, rule, round(n), space, outside, space - outside))
    columns = ["language", "rule", "n_features", "auc_space", "auc_outside", "margin"]
    table("Held-out concepts against pool words", columns, summary)
    write_json(options.out, [dict(zip(columns, row, strict=True)) for row in summary])


if __name__ == "__main__":
    main()
