"""Planted runs in the shapes of docs/serve.md: what a study would have found, made of people's plane and noise."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path

import numpy as np

CARD = json.loads(
    (Path(__file__).parents[2] / "src/emospace/data/steering/smollm2-135m-instruct-mix/card.json").read_text()
)
CATEGORIES = tuple(CARD["positions"])
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


def run_results(shift: float) -> dict:
    """Return the records the page reads, those of `emospace.records` in part."""
    prediction = [
        {
            "language": language,
            "norms": "planted_norms",
            "target": target,
            "features": name,
            "static_source": "input embeddings" if name == "static" else None,
            "excluded_concepts": held,
            "n_features": 367,
            "n": 3773,
            "r": (r + shift) * (1 if target == "valence" else 0.75),
            "ci_low": None
            if name.startswith("outside")
            else (r + shift) * (1 if target == "valence" else 0.75) - 0.02,
            "ci_high": None
            if name.startswith("outside")
            else (r + shift) * (1 if target == "valence" else 0.75) + 0.02,
            "draws_low": r - 0.05 if name.startswith("outside") else None,
            "draws_high": r + 0.04 if name.startswith("outside") else None,
            "p_fdr": 1e-9,
            "ceiling": 0.96,
            "trained_on": None,
        }
        for language in LANGUAGES
        for target in ("valence", "arousal")
        for held in (False, True)
        for name, r in SETS.items()
    ]
    alignment = [
        {
            "language": language,
            "against": "valence_arousal",
            "statistic": "rsa_spearman",
            "space": "sae",
            "value": 0.55 + shift,
            "ci_low": 0.4,
            "ci_high": 0.7,
            "p": 0.0001,
            "ceiling": 0.98,
            "baseline": 0.27,
            "baseline_name": "static input embeddings",
        }
        for language in LANGUAGES
    ]
    features = [
        {"language": language, "category": name, "n_features": 3}
        for language in LANGUAGES
        for name in CATEGORIES
    ]
    return {
        "prediction": prediction,
        "alignment": alignment,
        "features": features,
        "manifest": {"seed": 0},
        "not_computed": [],
    }


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
        for name, title in (("demo", "SmolLM2-135M-Instruct"), ("polyglot", "emospace-polyglot"))
    ]


def comparison(ids: list[str]) -> dict:
    """Return a comparison of the planted runs."""
    figures = []
    for place, name in enumerate(ids):
        for language in LANGUAGES:
            for kind, of, against, target, value in (
                ("prediction", "space", "planted_norms", "valence", 0.78),
                ("prediction", "space", "planted_norms", "arousal", 0.61),
                ("prediction", "dense", "planted_norms", "valence", 0.84),
                ("prediction", "static", "planted_norms", "valence", 0.75),
                ("rsa", "sae", "valence_arousal", None, 0.55),
                ("best_pc_r", "sae", "valence_arousal", "valence", 0.82),
            ):
                figures.append(
                    {
                        "run": name,
                        "kind": kind,
                        "of": of,
                        "against": against,
                        "target": target,
                        "source": None,
                        "language": language,
                        "n": 3773,
                        "value": value - 0.1 * place,
                        "ci_low": value - 0.1 * place - 0.03,
                        "ci_high": value - 0.1 * place + 0.03,
                        "p": 0.001,
                        "difference": -0.1 * place if place else None,
                    }
                )
    known = {one["id"]: one for one in run_list()}
    runs = [
        {
            "name": name,
            "folder": "",
            "model": known[name]["model"],
            "layer": 4,
            "n_blocks": N_BLOCKS,
            "n_parameters": 134_515_008,
            "space": "sae",
            "languages": list(LANGUAGES),
            "n_categories": len(CATEGORIES),
            "seed": 0,
        }
        for name in ids
    ]
    rsa = [
        {
            "a": ids[0],
            "b": ids[1],
            "language": language,
            "value": 0.6,
            "ci_low": 0.5,
            "ci_high": 0.7,
            "p": 0.001,
            "p_fdr": 0.001,
            "baseline": 0.4,
            "n": 41,
        }
        for language in LANGUAGES
    ]
    return {
        "object": "comparison",
        "runs": ids,
        "tables": [],
        "comparison": {
            "languages": list(LANGUAGES),
            "runs": runs,
            "figures": figures,
            "rsa": rsa,
            "differences": [],
            "depth": [],
            "onset": [],
            "not_computed": [],
        },
    }
