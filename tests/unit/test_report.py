from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emospace.errors import EmospaceError
from emospace.records import (
    AlignmentRecord,
    ComparisonRecord,
    FeatureRecord,
    LanguageRSARecord,
    Manifest,
    ModelRecord,
    NotComputed,
    PredictionRecord,
    Results,
    SaeRecord,
    Source,
)
from emospace.report import figures, write_report
from emospace.report.charts import percentiles
from emospace.report.page import script_json
from emospace.report.paper import place_labels
from emospace.report.run import read_run
from emospace.report.sections import category_order
from emospace.report.wording import count, counted, figure, p_clause, percent

# name: valence, arousal
PEOPLE = {
    "admiration": (0.62, 0.15), "amusement": (0.70, 0.30), "anger": (-0.62, 0.52), "annoyance": (-0.48, 0.25),
    "approval": (0.55, -0.02), "caring": (0.66, -0.10), "confusion": (-0.28, 0.12), "curiosity": (0.35, 0.28),
    "desire": (0.52, 0.42), "disappointment": (-0.58, -0.12), "disapproval": (-0.46, 0.04), "disgust": (-0.64, 0.22),
    "embarrassment": (-0.45, 0.20), "excitement": (0.72, 0.66), "fear": (-0.60, 0.56), "gratitude": (0.74, -0.02),
    "grief": (-0.74, 0.05), "joy": (0.84, 0.38), "love": (0.86, 0.30), "nervousness": (-0.40, 0.44),
    "optimism": (0.62, 0.10), "pride": (0.58, 0.20), "relief": (0.60, -0.28), "remorse": (-0.50, -0.05),
    "sadness": (-0.70, -0.22), "surprise": (0.34, 0.55), "adoration": (0.72, 0.22),
    "aesthetic_appreciation": (0.60, -0.15), "anxiety": (-0.52, 0.50), "awe": (0.48, 0.36),
    "awkwardness": (-0.36, 0.08), "boredom": (-0.42, -0.50), "calmness": (0.50, -0.62),
    "empathic_pain": (-0.54, 0.00), "entrancement": (0.38, 0.06), "horror": (-0.68, 0.48), "interest": (0.46, 0.18),
    "nostalgia": (0.24, -0.20), "romance": (0.76, 0.28), "satisfaction": (0.68, -0.12), "sexual_desire": (0.56, 0.58),
}  # fmt: skip
BASIC = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
GOEMOTIONS = tuple(PEOPLE)[:26]
NORMS = {"en": ("en_glasgow_2019", 4682), "zh": ("zh_liu_2021", 1893)}
# feature set: r valence, r arousal
R = {
    "space": (0.752, 0.561), "shared": (0.702, 0.502), "specific": (0.694, 0.488), "outside": (0.502, 0.431),
    "outside_random": (0.331, 0.262), "top_firing": (0.771, 0.612), "shuffled": (0.274, 0.203),
    "all": (0.822, 0.684), "dense": (0.851, 0.726), "surface": (0.108, 0.164),
}  # fmt: skip
STATIC = {"input_embedding": (0.728, 0.634), "ppmi_svd": (0.613, 0.482)}
DRAWN = {"outside": 0.035, "outside_random": 0.05, "shuffled": 0.06}


def write_run(folder: Path, languages: tuple[str, ...] = ("en", "zh"), full: bool = True) -> Path:
    """Write a run folder as a study would, with figures of the size that are expected of one."""
    rng = np.random.default_rng(7)
    (folder / "tables").mkdir(parents=True)
    results = Results(
        prediction=_prediction(languages),
        comparison=_comparison(languages),
        alignment=_alignment(languages),
        language_rsa=_language_rsa(languages),
        features=tuple(
            FeatureRecord(
                **_common(1200), language=language, category=name, n_concepts=25 + len(name), n_features=4 + len(name),
                basic=name in BASIC, n_shared=3, provenance="curated",
            )
            for language in languages
            for name in PEOPLE
        ),
        not_computed=(NotComputed(what="dominance", language="zh", why="the norms do not rate it"),),
        model=ModelRecord(
            **_common(9321), source="gguf", file_hash="8f" * 32, quantisation="Q4_1", architecture="LlamaForCausalLM",
            n_blocks=30, d_model=576, n_parameters=134515008, dtype="float32", device="cpu", licence="Apache-2.0",
        ),
        sae=SaeRecord(
            **_common(2_400_000), source="shipped", architecture="topk", n_latents=4608, l0=48.0,
            explained_variance=0.831, loss_recovered=0.932, dead_latents=0.041, n_heldout=204_800,
            corpus="Gutenberg fiction, Tatoeba", command="emospace sae train --model smollm2 --layer 18 --seed 0",
            file_hash="c1" * 32, licence="Apache-2.0",
        ),
        manifest=_manifest(languages),
    )  # fmt: skip
    results.save(folder / "results.json")
    if full:
        _tables(folder / "tables", languages, rng)
    return folder


def _common(n: int) -> dict:
    return {"model": "SmolLM2-135M-Instruct", "layer": 18, "n": n, "seed": 20240}


def _prediction(languages) -> tuple[PredictionRecord, ...]:
    records = []
    for language in languages:
        norms, n = NORMS[language]
        scale = 1.0 if language == "en" else 0.55
        for place, target in enumerate(("valence", "arousal")):
            ceiling = (0.974, 0.917)[place]
            for excluded in (False, True):
                sets = [(name, None, r[place]) for name, r in R.items()]
                sets += [("static", source, r[place]) for source, r in STATIC.items()]
                for name, source, r in sets:
                    r = scale * (r - 0.02 * excluded)
                    spread = DRAWN.get(name)
                    records.append(
                        PredictionRecord(
                            **_common(n - 640 * excluded), language=language, norms=norms, target=target, features=name,
                            static_source=source, excluded_concepts=excluded,
                            n_features={"all": 4608, "dense": 576, "static": 576, "surface": 2}.get(name, 312),
                            r=r, ci_low=r - 0.014, ci_high=r + 0.013, p=1e-4, p_fdr=2e-4, r2=r * r - 0.01,
                            n_draws=1000 if spread else None, draws_low=r - 2 * spread if spread else None,
                            draws_high=r + 2 * spread if spread else None,
                            draws_beaten=0.998 if name == "space" else None, ceiling=ceiling,
                            reliability=ceiling**2, disattenuated_r=r / ceiling, layers_chosen="18,18,18,17,18",
                        )
                    )  # fmt: skip
    return tuple(records)


def _comparison(languages) -> tuple[ComparisonRecord, ...]:
    return tuple(
        ComparisonRecord(
            **_common(4042), language=language, norms=NORMS[language][0], target="valence", features="space",
            against=against, excluded_concepts=True, difference=d, ci_low=d - 0.015, ci_high=d + 0.015,
            equivalence_low=d - 0.012, equivalence_high=d + 0.012, margin=0.03, equivalent=abs(d) < 0.018, p=0.001,
        )
        for language in languages
        for against, d in (("outside", 0.25), ("top_firing", -0.017), ("shared", 0.05))
    )  # fmt: skip


def _alignment(languages) -> tuple[AlignmentRecord, ...]:
    records = []
    for language in languages:
        low = language != "en"
        base = {"language": language, "n_features": 312, "provenance": "curated", "norms": NORMS[language][0]}
        rated = {"n_label": 12 if low else 34, "n_derived": 0 if low else 7}
        va = {"against": "valence_arousal", "n_permutations": 9999} | base | rated
        records += [
            AlignmentRecord(**_common(41), **va, statistic="rsa_spearman", target=None, value=0.562 - 0.3 * low,
                            ci_low=0.41 - 0.3 * low, ci_high=0.68 - 0.3 * low, p=1e-4, ceiling=0.93,
                            ceiling_kind="simulated from rater SD"),
            AlignmentRecord(**_common(41), **va, statistic="rsa_spearman", target=None, value=0.331, ci_low=0.2,
                            ci_high=0.45, p=0.002, space="static"),
            AlignmentRecord(**_common(41), **va, statistic="rsa_partial", target=None, value=0.402, ci_low=0.26,
                            ci_high=0.53, p=1e-4, controls="set_overlap and static RDM"),
            AlignmentRecord(**_common(41), **va, statistic="procrustes", target=None, value=0.61, ci_low=None,
                            ci_high=None, p=2e-4),
        ]  # fmt: skip
        for target, value in (("valence", 0.832), ("arousal", 0.471)):
            given = (
                {"value": None, "reason": "12 of the 15 rated categories that are needed"}
                if low
                else {"value": value}
            )
            records.append(
                AlignmentRecord(**_common(12 if low else 41), **va, statistic="best_pc_r", target=target,
                                ci_low=None if low else value - 0.12, ci_high=None if low else value + 0.08,
                                p=None if low else 1e-4, component=None if low else 1,
                                baseline=None if low else 0.62, baseline_name="static embeddings", **given)
            )  # fmt: skip
        if language == "en":
            go = {"against": "goemotions", "n_permutations": 9999} | base
            records.append(
                AlignmentRecord(**_common(26), **go, statistic="rsa_spearman", target=None, value=0.374, ci_low=0.22,
                                ci_high=0.52, p=3e-4, ceiling=0.88, ceiling_kind="split-half over texts",
                                baseline=0.301, baseline_name="static embeddings")
            )  # fmt: skip
    return tuple(records)


def _language_rsa(languages) -> tuple[LanguageRSARecord, ...]:
    pairs = [(a, b) for i, a in enumerate(languages) for b in languages[i + 1 :]]
    return tuple(
        LanguageRSARecord(
            **_common(41), language_a=a, language_b=b, value=0.412, ci_low=0.28, ci_high=0.53, p=1e-4, ceiling=0.9,
            n_shared=88, n_permutations=9999, baseline=0.21, baseline_name="static embeddings",
        )
        for a, b in pairs
    )  # fmt: skip


def _manifest(languages) -> Manifest:
    norms = tuple(
        Source(kind="norms", name=NORMS[code][0], language=code, n=NORMS[code][1], n_rejected=3, scale="1 to 9",
               licence="CC BY 4.0", citation="Scott et al. (2019). The Glasgow Norms. Behav Res Methods 51, 1258–1270.",
               content_hash="0123456789abcdef")
        for code in languages
    )  # fmt: skip
    concepts = tuple(
        Source(kind="concepts", name=f"bundled, {code}", language=code, provenance="curated", n=1312,
               licence="Apache-2.0", content_hash="fedcba9876543210")
        for code in languages
    )  # fmt: skip
    return Manifest(
        **_common(9321),
        command="emospace study --model smollm2 --languages en,zh --norms en_glasgow_2019,zh_liu_2021 --out runs/demo",
        languages=languages,
        categories="all",
        carriers={"en": ("The word is {word}", "I feel {word}"), "zh": ("这个词是{word}",)},
        sources=norms + concepts,
        files={"SmolLM2-135M-Instruct.Q4_1.gguf": "8f" * 32, "sae/weights.safetensors": "c1" * 32},
        versions={"emospace": "0.1.0", "torch": "2.6.0", "transformers": "5.0.0"},
    )


def _tables(folder: Path, languages, rng) -> None:
    names = list(PEOPLE)
    people = np.array(list(PEOPLE.values()))
    circumplex, curve, features, words, draws = [], [], [], [], []
    for language in languages:
        human = people + rng.normal(0, 0.04, people.shape)
        model = 0.8 * human * [1, 0.7] + rng.normal(0, 0.17, people.shape)
        circumplex.append(
            pd.DataFrame(
                {
                    "language": language, "category": names, "basic": [name in BASIC for name in names],
                    "human_valence": human[:, 0], "human_arousal": human[:, 1],
                    "human_source": ["derived" if i % 6 == 5 else "label" for i in range(len(names))],
                    "model_x": model[:, 0], "model_y": model[:, 1],
                }
            )
        )  # fmt: skip
        _square(folder / f"rdm_{language}.parquet", names, model, rng)
        _square(folder / f"rdm_human_{language}_valence_arousal.parquet", names, human, None)
        if language == "en":
            _square(folder / "rdm_human_en_goemotions.parquet", GOEMOTIONS, human[: len(GOEMOTIONS)], rng)
        norms, n = NORMS[language]
        for place, target in enumerate(("valence", "arousal")):
            peak = (0.85, 0.73)[place] * (1 if language == "en" else 0.55)
            layers = np.arange(31)
            r = peak - 0.2 * np.exp(-layers / 4) - 0.0004 * (layers - 19) ** 2
            curve.append(
                pd.DataFrame(
                    {"language": language, "norms": norms, "target": target, "layer": layers, "r": r}
                )
            )
            observed = np.clip(rng.normal(5, 1.4, n), 1, 9)
            predicted = 5 + 0.57 * (observed - 5) + rng.normal(0, 0.7, n)
            stem = "word" if language == "en" else "词"
            words.append(
                pd.DataFrame(
                    {
                        "language": language, "norms": norms, "word": [f"{stem}{i}" for i in range(n)], "target": target,
                        "observed": observed, "predicted": predicted, "predicted_dense": predicted + rng.normal(0, 0.3, n),
                    }
                )
            )  # fmt: skip
            for kind, spread in DRAWN.items():
                centre = R[kind][place] * (1 if language == "en" else 0.55)
                for excluded in (False, True):
                    drawn = {
                        "language": language,
                        "norms": norms,
                        "target": target,
                        "excluded_concepts": excluded,
                    }
                    draws.append(pd.DataFrame(drawn | {"kind": kind, "r": rng.normal(centre, spread, 300)}))
        top = "happy, glad, <b>cheer</b>, delighted" if language == "en" else "高兴, 快乐, 喜悦, 欢喜"
        for name in names:
            k = 4 + len(name)
            features.append(
                pd.DataFrame(
                    {
                        "language": language, "category": name, "latent": rng.integers(0, 4608, k),
                        "weight": rng.random(k), "effect": rng.gamma(2, 0.6, k), "rate_in": rng.random(k),
                        "rate_pool": rng.random(k) * 0.2, "q": rng.random(k) * 0.05, "top_words": top,
                    }
                )
            )  # fmt: skip
    tables = {
        "circumplex": circumplex,
        "layer_curve": curve,
        "features": features,
        "predictions": words,
        "draws": draws,
    }
    for name, parts in tables.items():
        pd.concat(parts).to_parquet(folder / f"{name}.parquet", index=False)


def _square(path: Path, names, points: np.ndarray, rng) -> None:
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    if rng is not None:
        noise = rng.random(distance.shape) * 0.4
        distance = distance + noise + noise.T
        np.fill_diagonal(distance, 0)
    frame = pd.DataFrame(distance, columns=list(names))
    frame.insert(0, "category", list(names))
    frame.to_parquet(path, index=False)
