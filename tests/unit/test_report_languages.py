"""The report of a study in several languages, from records and tables as the study makes them."""

from __future__ import annotations

import json
import re
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_report import GOEMOTIONS, NORMS, PEOPLE, Outline, _common, charts_of, write_run

from emospace.languages import language_tree
from emospace.records import (
    AlignmentRecord,
    CategoryShiftRecord,
    CrossLanguageRecord,
    FamilyRecord,
    LanguageRSARecord,
    NotComputed,
    Results,
    UniversalRecord,
)
from emospace.report import figures, write_report
from emospace.report.languages_charts import dendrogram_of
from emospace.report.languages_crossing import crossed, verdict
from emospace.report.run import read_run
from emospace.report.wording import structure_name

THREE = ("en", "zh", "pl")
THIRTEEN = ("en", "zh", "es", "de", "fr", "it", "pt", "nl", "pl", "fi", "id", "ko", "ja")
FAMILY = {"zh": "sino-tibetan", "fi": "uralic", "id": "austronesian", "ko": "koreanic", "ja": "japonic"}
RATED = ("en", "zh", "it", "pl", "fi", "id", "ko")
SETS = ("space", "shared", "specific", "universal", "dense", "static")
N_BLOCKS = 30
NAMES = tuple(PEOPLE)


def places(languages: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return where each language has the categories: languages of one family near one another."""
    rng = np.random.default_rng(3)
    people = np.array(list(PEOPLE.values()))
    by_family: dict[str, np.ndarray] = {}
    found = {}
    for language in languages:
        family = FAMILY.get(language, "indo-european")
        centre = by_family.setdefault(family, people + rng.normal(0, 0.25, people.shape))
        found[language] = centre + rng.normal(0, 0.16, people.shape)
    return found


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def write_languages(folder: Path, languages: tuple[str, ...], **change) -> Path:
    """Write a run in several languages: norms for some, one language without any feature."""
    for language in languages:
        NORMS.setdefault(language, (f"{language}_norms_2024", 1100))
    rated = tuple(language for language in languages if language in RATED)
    write_run(folder, languages)
    results = Results.load(folder / "results.json")
    unrated = set(languages) - set(rated)
    points = places(languages)
    tree = language_tree({name: distances(at) for name, at in points.items()}, seed=0, n_bootstrap=40) if len(languages) > 2 else None
    similarity = tree.similarity if tree else np.full((2, 2), 0.4)
    _language_tables(folder / "tables", languages, rated, points, tree)
    parts = {
        "prediction": tuple(r for r in results.prediction if r.language in rated),
        "comparison": tuple(r for r in results.comparison if r.language in rated),
        "alignment": (
            *(a for a in results.alignment if a.language in rated),
            *_weights(languages),
            *_structures(languages),
        ),
        "language_rsa": _pairs(languages, similarity),
        "category_shift": _shifts(languages, points),
        "universal": tuple(
            UniversalRecord(
                **_common(len(languages)) | {"n": len(languages)}, k=k, n_latents=int(900 / k**1.6), expected=900 / k**3.2,
                expected_low=800 / k**3.4, expected_high=1000 / k**3, p=0.001,
            )
            for k in range(1, len(languages) + 1)
        ),
        "cross_language": _crossing(rated),
        "families": (
            FamilyRecord(
                **_common(len(languages)), value=0.11, within=0.52, between=0.41, p=0.03, n_within=21, n_families=6,
                n_permutations=9999, cophenetic=0.86,
            ),
        ) if len(languages) > 2 else (),
        "not_computed": (
            *results.not_computed,
            *(
                NotComputed(what="prediction of ratings, within and across languages", language=name, why="no norms of this language are bundled")
                for name in sorted(unrated)
            ),
            NotComputed(what="every figure", language="sv", why="no latent responds to its concepts"),
        ),
    }  # fmt: skip
    results.model_copy(update=parts | change).save(folder / "results.json")
    return folder


def _pairs(languages, similarity) -> tuple[LanguageRSARecord, ...]:
    made = []
    for i, j in combinations(range(len(languages)), 2):
        common = _common(41) | {"a": languages[i], "b": languages[j], "n_permutations": 9999}
        r = float(similarity[i, j])
        made += [
            LanguageRSARecord(**common, value=r, ci_low=r - 0.12, ci_high=r + 0.1, p=1e-4 if r > 0.2 else 0.2,
                              n_shared=88, baseline=r - 0.15, baseline_name="static input embeddings"),
            LanguageRSARecord(**common, statistic="procrustes", value=0.4 + 0.5 * r, ci_low=0.3, ci_high=0.8, p=1e-3),
        ]  # fmt: skip
    return tuple(made)


def _shifts(languages, points) -> tuple[CategoryShiftRecord, ...]:
    made = []
    for a, b in combinations(languages, 2):
        apart = np.linalg.norm(points[a] - points[b], axis=1)
        for name, gap in zip(NAMES, apart, strict=True):
            excess = float(gap - 0.3)
            low = excess - 0.25
            given = {"value": gap + 0.1, "noise": 0.4, "excess": excess, "ci_low": low, "ci_high": excess + 0.3, "shifted": low > 0}
            if name == "awe":
                given = dict.fromkeys(given) | {"reason": "its concept words are too few"}
            made.append(CategoryShiftRecord(**_common(40), a=a, b=b, category=name, **given))
    return tuple(made)  # fmt: skip


def _weights(languages) -> list[AlignmentRecord]:
    return [
        AlignmentRecord(**_common(41), language=language, against="valence_arousal", statistic="rdm_weight", target=target,
                        value=value - 0.02 * at, ci_low=value - 0.02 * at - 0.1, ci_high=value - 0.02 * at + 0.1, p=0.001, norms="en_glasgow_2019", n_permutations=9999)
        for at, language in enumerate(languages)
        for target, value in (("valence", 0.48), ("arousal", 0.19))
    ]  # fmt: skip


def _structures(languages) -> list[AlignmentRecord]:
    made = []
    for at, language in enumerate(languages):
        family = FAMILY.get(language, "indo-european")
        against = [
            ("clics", 24),
            *([(f"clics/{family}", 17)] if family.endswith(("european", "tibetan", "uralic")) else []),
        ]
        against += [("kote", 33)] if language == "ko" else []
        against += [(f"brighter/{language}", 6)] if language in ("de", "es", "zh", "en") else []
        for name, n in against:
            common = {"language": language, "against": name, "target": None, "n_permutations": 9999}
            made += [
                AlignmentRecord(**_common(n), **common, statistic="rsa_spearman", value=0.3 - 0.01 * at, ci_low=0.1,
                                ci_high=0.45, p=0.004, baseline=0.21, baseline_name="static input embeddings", ceiling=0.8),
                AlignmentRecord(**_common(n), **common, statistic="rsa_partial", value=0.2, ci_low=0.0, ci_high=0.3, p=0.04,
                                controls="set overlap and static embeddings"),
            ]  # fmt: skip
    return made


def _crossing(rated, scale: float = 1.0) -> tuple[CrossLanguageRecord, ...]:
    made = []
    for at, (train, test) in enumerate(permutations(rated, 2)):
        for target, people, top in (("valence", 0.82, 0.52), ("arousal", 0.61, 0.33)):
            for place, features in enumerate(SETS):
                r = scale * (top - 0.006 * at + (0, 0.01, -0.2, 0.0, 0.15, -0.12)[place])
                empty = features == "universal" and at == 0
                made.append(
                    CrossLanguageRecord(
                        **_common(900 + 10 * at), train=train, test=test, features=features, target=target,
                        norms_train=NORMS[train][0], norms_test=NORMS[test][0], n_features=0 if empty else 210,
                        r=None if empty else r, ci_low=None if empty else r - 0.05, ci_high=None if empty else r + 0.05,
                        p=None if empty else 0.005, p_fdr=None if empty else (0.006 if r > 0.1 else 0.4), permuted_low=-0.09, permuted_high=0.09,
                        same_language=0.61, reference=people, reference_name="people's ratings of 930 concepts in English and Chinese",
                        reason="there are no universal features" if empty else None,
                    )
                )  # fmt: skip
    return tuple(made)


def _language_tables(folder: Path, languages, rated, points, tree) -> None:
    for name in ("circumplex", "layer_curve", "predictions", "draws"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        table[table["language"].isin(rated)].to_parquet(folder / f"{name}.parquet", index=False)
    for language in set(languages) - set(rated):
        (folder / f"rdm_human_{language}_valence_arousal.parquet").unlink()
    if tree is not None:
        rows = [
            {"members": ",".join(m.members), "height": m.height, "support": m.support} for m in tree.merges()
        ]
        pd.DataFrame(rows).to_parquet(folder / "language_tree.parquet", index=False)
    planes = [
        {
            "a": a,
            "b": b,
            "category": name,
            "a_x": points[a][at, 0],
            "a_y": points[a][at, 1],
            "b_x": points[b][at, 0],
            "b_y": points[b][at, 1],
        }
        for a, b in combinations(languages, 2)
        for at, name in enumerate(NAMES)
    ]
    pd.DataFrame(planes).to_parquet(folder / "language_planes.parquet", index=False)
    people = distances(np.array(list(PEOPLE.values())))
    i, j = np.triu_indices(len(NAMES), 1)
    rng = np.random.default_rng(1)
    layers = [
        pd.DataFrame({
            "language": language, "layer": layer, "a": np.array(NAMES)[i], "b": np.array(NAMES)[j],
            "dissimilarity": people[i, j] * layer / N_BLOCKS + (1 - layer / N_BLOCKS) * rng.random(len(i)) * (1 + 0.1 * at),
        })
        for at, language in enumerate(languages)
        for layer in range(0, N_BLOCKS + 1, 5)
    ]  # fmt: skip
    pd.concat(layers).to_parquet(folder / "rdm_layers.parquet", index=False)
