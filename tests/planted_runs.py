"""Run folders as a study leaves them, whose likeness to people and to one another is planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from emospace.lexicon import word_groups
from emospace.prediction import assign_folds, correlation
from emospace.records import (
    AlignmentRecord,
    FeatureRecord,
    LanguageRSARecord,
    Manifest,
    ModelRecord,
    PredictionRecord,
    Results,
    SaeRecord,
    SteeringRecord,
)

CATEGORIES = [
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "anxiety",
    "awe",
    "boredom",
    "calmness",
    "disgust",
    "excitement",
    "fear",
    "grief",
    "joy",
    "love",
    "pride",
    "relief",
    "sadness",
    "surprise",
]
N_WORDS, FOLDS, SEED = 160, 4, 3
WORDS = tuple(f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in "mnpt")
TARGETS = ("valence", "arousal")


def common(model: str, n: int = 10) -> dict:
    return {"model": model, "layer": 4, "n": n, "seed": SEED}


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def square(rdm: np.ndarray, categories) -> pd.DataFrame:
    table = pd.DataFrame(rdm, columns=list(categories))
    table.insert(0, "category", list(categories))
    return table


def write_run(
    folder: Path,
    model: str = "small",
    *,
    like: float = 0.8,
    skill: float = 0.6,
    seed: int = 1,
    n_blocks: int = 8,
    onset: float = 0.4,
    languages: tuple[str, ...] = ("en",),
    categories: tuple[str, ...] = tuple(CATEGORIES),
    layers: bool = True,
    norms: str = "en_norms",
    scale: float = 1.0,
    n_words: int = N_WORDS,
    sae: bool = True,
) -> Path:
    """Write a finished run.

    `like` is the weight of people's distances in the RDM against noise of the run's own, reached at depth `onset`;
    `skill` the share of the ratings in what the space predicts; `scale` stretches the ratings.
    """
    rng, people = np.random.default_rng(seed), np.random.default_rng(0)
    points = {name: people.normal(size=2) for name in CATEGORIES}
    human = distances(np.stack([points[name] for name in categories]))
    everyone = distances(np.stack(list(points.values())))
    index = [CATEGORIES.index(name) for name in categories]
    tables = folder / "tables"
    tables.mkdir(parents=True)
    prediction, alignment, predicted, layer_parts = [], [], [], []
    for language in languages:
        noise = distances(rng.normal(size=(len(CATEGORIES), 2)))[np.ix_(index, index)]
        rdm = like * everyone[np.ix_(index, index)] + (1 - like) * noise
        square(rdm, categories).to_parquet(tables / f"rdm_{language}.parquet")
        square(human, categories).to_parquet(tables / f"rdm_human_{language}_valence_arousal.parquet")
        a, b = np.triu_indices(len(categories), 1)
        names = np.array(categories)
        for layer in range(n_blocks + 1):
            share = like * min(1.0, layer / n_blocks / onset)
            # Layers near one another are alike beside what people's ratings say.
            turned = noise * np.cos(layer / n_blocks * 1.5) + noise[::-1, ::-1] * np.sin(
                layer / n_blocks * 1.5
            )
            part = {"language": language, "layer": layer, "a": names[a], "b": names[b]}
            value = (share * human + (1 - share) * turned)[a, b]
            layer_parts.append(pd.DataFrame({**part, "dissimilarity": value}))
        alignment += [
            AlignmentRecord(
                **common(model, len(categories)), language=language, against="valence_arousal", statistic=statistic,
                target=target, value=like * share, ci_low=0.1, ci_high=0.9, p=0.001, norms=norms, space=space,
            )
            for statistic, target in (("rsa_spearman", None), ("best_pc_r", "valence"))
            for space, share in (("sae" if sae else "dense", 1.0), ("static", 0.4))
        ]  # fmt: skip
        words = WORDS[:n_words]
        groups = word_groups(words, language)
        folds = assign_folds(groups, FOLDS, seed=SEED)
        concept = np.arange(n_words) % 8 == 0
        for place, target in enumerate(TARGETS):
            observed = scale * np.random.default_rng(50 + place).normal(size=N_WORDS)[:n_words]
            guesses = [share * observed + (1 - share) * rng.normal(size=n_words) for share in (skill, 0.7)]
            frame = {
                "language": language,
                "norms": norms,
                "word": words,
                "target": target,
                "observed": observed,
            }
            both = {
                "predicted": guesses[0],
                "predicted_dense": guesses[1],
                "concept_word": concept,
                "fold": folds,
                "group": groups,
            }
            predicted.append(pd.DataFrame({**frame, **both}))
            for name, guess in (("space", guesses[0]), ("dense", guesses[1])):
                for out in (False, True):
                    keep = ~concept if out else np.ones(n_words, dtype=bool)
                    r = float(correlation(guess[keep], observed[keep], folds[keep]))
                    prediction.append(
                        PredictionRecord(
                            **common(model, int(keep.sum())), language=language, norms=norms, target=target,
                            features=name, excluded_concepts=out, n_features=8, r=r, ci_low=r - 0.05,
                            ci_high=r + 0.05, p=0.001,
                        )
                    )  # fmt: skip
    pd.concat(predicted).to_parquet(tables / "predictions.parquet")
    if layers:
        pd.concat(layer_parts).to_parquet(tables / "rdm_layers.parquet")
    Results(
        prediction=tuple(prediction),
        alignment=tuple(alignment),
        features=tuple(
            FeatureRecord(**common(model), language=language, category=name, n_concepts=8, n_features=2)
            for language in languages
            for name in categories
        ),
        language_rsa=tuple(
            LanguageRSARecord(**common(model), a="zh", b="en", value=0.5, ci_low=0.3, ci_high=0.7)
            for _ in languages[1:2]
        ),
        steering=(
            SteeringRecord(
                **common(model, 8), emotion="joy", vector="sae", dose=1.0, calibrated=True, judge="subword",
                language="en", n_prompts=8, target_rate=skill, perplexity_ratio=1.1, distinct2_ratio=1.0,
            ),
        ),
        model=ModelRecord(**common(model), n_blocks=n_blocks, d_model=8 * n_blocks),
        sae=SaeRecord(**common(model), architecture="topk", n_latents=64) if sae else None,
        manifest=Manifest(**common(model), command="emospace study", languages=languages),
    ).save(folder / "results.json")  # fmt: skip
    (folder / "spec.json").write_text(json.dumps({"folds": FOLDS}), encoding="utf-8")
    return folder
