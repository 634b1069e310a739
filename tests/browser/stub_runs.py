"""Planted runs in the shapes of docs/serve.md: what a study would have found, made of people's plane and noise."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from emospace.artefacts import write_parquet
from emospace.comparison.records import Comparison, FigureRecord, ModelRSARecord, RunRecord
from emospace.records import AlignmentRecord, FeatureRecord, Manifest, ModelRecord, PredictionRecord, Results

CARD = json.loads(
    (Path(__file__).parents[2] / "src/emospace/data/steering/smollm2-135m-instruct-mix/card.json").read_text()
)
CATEGORIES = tuple(CARD["positions"])
BASIC = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
WORDS = ("glad", "smile", "laugh", "happy", "cheer", "delight", "sun", "song")
LANGUAGES = ("en", "zh", "es")
N_BLOCKS = 6


def plane_of(seed: int, noise: float) -> np.ndarray:
    """Return people's plane with noise, ``[n_categories, 2]``."""
    people = np.array(list(CARD["positions"].values()))
    return people + np.random.default_rng(seed).normal(scale=noise, size=people.shape)


@cache
def run_tables(seed: int) -> dict[str, tuple[list[str], list[list]]]:
    """Return the tables of a planted run: columns and rows."""
    people = np.array(list(CARD["positions"].values()))
    tables: dict[str, tuple[list[str], list[list]]] = {}
    circumplex, layers, curve, features = [], [], [], []
    for at, language in enumerate(LANGUAGES):
        plane = plane_of(seed + at, 0.12 + 0.05 * at)
        for name, (valence, arousal), (x, y) in zip(CATEGORIES, people, plane, strict=True):
            circumplex.append([language, name, valence, arousal, "label", x, y])
        tables[f"rdm_{language}"] = (["category", *CATEGORIES], square(plane))
        tables[f"rdm_human_{language}_valence_arousal"] = (["category", *CATEGORIES], square(people))
        for layer in range(N_BLOCKS + 1):
            away = plane_of(seed + 10 * layer + at, 0.9 / (layer + 1)) @ np.array([[0.0, 1.0], [-1.0, 0.0]])
            layers += [
                [language, layer, CATEGORIES[i], CATEGORIES[j], float(np.linalg.norm(away[i] - away[j]))]
                for i, j in itertools.combinations(range(len(CATEGORIES)), 2)
            ]
            for target, top in (("valence", 0.8), ("arousal", 0.6)):
                curve.append([language, "planted_norms", target, layer, top * (1 - 0.5 ** (layer + 1))])
        for place, name in enumerate(CATEGORIES):
            for latent in range(3):
                effect = 0.9 - 0.2 * latent - 0.002 * place
                features.append(
                    [
                        name,
                        40 * place + latent,
                        effect,
                        1.0,
                        0.4,
                        0.02,
                        9.0,
                        1e-6,
                        1e-3,
                        0.01,
                        f"{name}, {WORDS[latent]}",
                        language,
                    ]
                )
    tables["circumplex"] = (
        ["language", "category", "human_valence", "human_arousal", "human_source", "model_x", "model_y"],
        circumplex,
    )
    tables["rdm_layers"] = (["language", "layer", "a", "b", "dissimilarity"], layers)
    tables["layer_curve"] = (["language", "norms", "target", "layer", "r"], curve)
    tables["features"] = (
        [
            "category",
            "latent",
            "effect",
            "weight",
            "rate_in",
            "rate_pool",
            "z",
            "p",
            "q",
            "p_max",
            "top_words",
            "language",
        ],
        features,
    )
    return tables


def square(points: np.ndarray) -> list[list]:
    """Return the distances of points as rows that begin with the category."""
    away = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return [[name, *map(float, row)] for name, row in zip(CATEGORIES, away, strict=True)]


SETS = {
    "space": 0.78,
    "shared": 0.7,
    "outside": 0.53,
    "outside_random": 0.3,
    "top_firing": 0.76,
    "dense": 0.84,
    "static": 0.75,
    "surface": 0.2,
}


TITLES = {"demo": "SmolLM2-135M-Instruct", "gemma": "gemma-3-270m"}
COMMON = {"model": "planted", "layer": 4, "seed": 0}
UNREADABLE = {"id": "old", "why": "language_rsa.0.a is not as this version writes it (field required)"}


def predictions(shift: float) -> Iterator[PredictionRecord]:
    """Yield predictions; those of the sets made of draws have the interval of the draws."""
    for language, target, held in itertools.product(LANGUAGES, ("valence", "arousal"), (False, True)):
        for name, r in SETS.items():
            drawn, value = name.startswith("outside"), (r + shift) * (1 if target == "valence" else 0.75)
            low, high = (r - 0.05, r + 0.04) if drawn else (value - 0.02, value + 0.02)
            yield PredictionRecord(
                **COMMON, n=3773, language=language, norms="planted_norms", target=target, features=name,
                static_source="input embeddings" if name == "static" else None, excluded_concepts=held,
                n_features=367, r=value, ci_low=None if drawn else low, ci_high=None if drawn else high,
                draws_low=low if drawn else None, draws_high=high if drawn else None, p_fdr=1e-9, ceiling=0.96,
            )  # fmt: skip


def alignments(shift: float) -> Iterator[AlignmentRecord]:
    """Yield how far the model's dissimilarities agree with people's."""
    for language in LANGUAGES:
        yield AlignmentRecord(
            **COMMON, n=len(CATEGORIES), language=language, against="valence_arousal", statistic="rsa_spearman",
            target="structure", value=0.55 + shift, ci_low=0.4, ci_high=0.7, p=0.0001, ceiling=0.98,
            baseline=0.27, baseline_name="static input embeddings",
        )  # fmt: skip


@cache
def run_results(shift: float) -> dict:
    """Return the answers and the results of a planted run, as the server gives them."""
    counted = itertools.product(LANGUAGES, CATEGORIES)
    results = Results(
        prediction=tuple(predictions(shift)),
        alignment=tuple(alignments(shift)),
        features=tuple(
            FeatureRecord(
                **COMMON,
                n=4000,
                language=language,
                category=name,
                n_concepts=20,
                n_features=3,
                basic=name in BASIC,
            )
            for language, name in counted
        ),
        model=ModelRecord(**COMMON, n=4000, n_blocks=N_BLOCKS),
        manifest=Manifest(**COMMON, n=4000, command="emospace study", languages=LANGUAGES),
    )
    answers = [verdict.record().model_dump(mode="json") for verdict in results.verdicts]
    return {"answers": answers, "results": results.model_dump(mode="json")}


FOLDER = TemporaryDirectory(prefix="stub-runs-")
SHIFTS, SEEDS = {"demo": 0.0, "gemma": -0.1}, {"demo": 0, "gemma": 50}


@cache
def run_folder(name: str) -> Path:
    """Write a planted run as a study leaves it, once, and return where."""
    folder = Path(FOLDER.name) / name
    for table, (columns, rows) in run_tables(SEEDS[name]).items():
        write_parquet(folder / "tables" / f"{table}.parquet", pd.DataFrame(rows, columns=columns))
    Results.model_validate(run_results(SHIFTS[name])["results"]).save(folder / "results.json")
    return folder


def run_list() -> list[dict]:
    """Return the planted runs without their results."""
    return [
        {
            "id": name,
            "object": "run",
            "model": title,
            "title": title,
            "languages": list(LANGUAGES),
            "layer": 4,
            "n_blocks": N_BLOCKS,
            "space": "sae",
            "command": "emospace study",
            "tables": sorted(run_tables(0)),
        }
        for name, title in TITLES.items()
    ]


FIGURES = (
    ("prediction", "space", "planted_norms", "valence", 0.78),
    ("prediction", "space", "planted_norms", "arousal", 0.61),
    ("prediction", "dense", "planted_norms", "valence", 0.84),
    ("prediction", "static", "planted_norms", "valence", 0.75),
    ("rsa", "space", "valence_arousal", "structure", 0.55),
    ("rsa", "space", "clics/indo-european", "structure", 0.2),
    ("best_pc_r", "space", "valence_arousal", "valence", 0.82),
)


def figures(ids: tuple[str, ...]) -> Iterator[FigureRecord]:
    """Yield the figures of runs, each lower than those of the run before; languages pair in orders of their own."""
    for place, name in enumerate(ids):
        common = {"run": name, "n": 3773, "p": 0.001, "difference": -0.1 * place if place else None}
        pairs = tuple(itertools.combinations(LANGUAGES[:: -1 if place else 1], 2))
        for language, (kind, of, against, target, value) in itertools.product(LANGUAGES, FIGURES):
            figure = value - 0.1 * place
            yield FigureRecord(
                **common, kind=kind, of=of, against=against, target=target, language=language, value=figure,
                ci_low=figure - 0.03, ci_high=figure + 0.03,
            )  # fmt: skip
        for language, against in pairs:
            yield FigureRecord(
                **common, kind="language_rsa", of="space", against=against, language=language, value=0.5,
                ci_low=0.4, ci_high=0.6,
            )  # fmt: skip


def comparison(ids: tuple[str, ...]) -> dict:
    """Return a comparison of the planted runs."""
    runs = tuple(
        RunRecord(
            name=name, folder=name, model=TITLES[name], layer=4, n_blocks=N_BLOCKS, n_parameters=134_515_008,
            space="sae", languages=LANGUAGES, n_categories=len(CATEGORIES), seed=0, file_hash="0" * 64,
        )
        for name in ids
    )  # fmt: skip
    rsa = tuple(
        ModelRSARecord(
            language=language, n=41, a=ids[0], b=ids[1], space_a="sae", space_b="sae", value=0.6,
            ci_low=0.5, ci_high=0.7, p=0.001, p_fdr=0.001, baseline=0.4, n_permutations=999, seed=0,
        )
        for language in LANGUAGES
    )  # fmt: skip
    compared = Comparison(
        command="emospace compare", languages=LANGUAGES, seed=0, n_permutations=999, runs=runs, rsa=rsa,
        figures=tuple(figures(ids)),
    )  # fmt: skip
    return {
        "object": "comparison",
        "runs": list(ids),
        "comparison": compared.model_dump(mode="json"),
        "tables": ["figures"],
    }
