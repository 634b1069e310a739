"""The prediction stage: ratings of words from the space, its parts, and every baseline it has to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.display import track
from emospace.errors import EmospaceError
from emospace.features import Rule, select_features, shuffled_sets
from emospace.lexicon import same_family, word_groups
from emospace.prediction import (
    Predicted,
    above_draws,
    compare,
    latent_profile,
    matched_draws,
    predict_draws,
    predict_ratings,
    random_draws,
    top_firing,
)
from emospace.profiling import timed
from emospace.records import ComparisonRecord, NotComputed, PredictionRecord
from emospace.study.stage import StageResult, stage

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

    from emospace.norms import WordNorms
    from emospace.study.concepts import LanguageConcepts
    from emospace.study.encoding import WordStates

COMPARED = (("space", "shared"), ("space", "static"), ("space", "top_firing"), ("dense", "space"))


@dataclass(frozen=True)
class Latents:
    """The latents of a study's languages and the controls drawn beside them.

    Attributes
    ----------
    shared
        Those that enough languages share; None in a study of one language.
    specific
        Those that are features in this language alone; None in a study of one language.
    everywhere
        Those that are features in any language, which no draw may hold.
    rule
        By which shuffled concept-sets are selected for.
    """

    shared: np.ndarray | None
    specific: np.ndarray | None
    everywhere: np.ndarray
    rule: Rule
    n_draws: int
    n_shuffled: int


@dataclass(frozen=True, eq=False)
class _Task:
    """What every feature set of one set of norms is asked."""

    model: str
    layer: int
    concepts: LanguageConcepts
    norms: WordNorms
    ratings: np.ndarray
    groups: np.ndarray
    scored: np.ndarray
    folds: int
    seed: int

    @property
    def language(self) -> str:
        return self.concepts.language

    @property
    def options(self) -> dict[str, Any]:
        return {"scored": self.scored, "folds": self.folds, "seed": self.seed}

    @property
    def common(self) -> dict[str, Any]:
        """Fields of every record."""
        return {
            "model": self.model,
            "seed": self.seed,
            "language": self.language,
            "norms": self.norms.name,
        }

    def missing(self, what: str, why: str) -> NotComputed:
        return NotComputed(what=what, why=why, language=self.language)

    def predict(self, values: Any, **options: Any) -> tuple[Predicted, ...]:
        return predict_ratings(
            values, self.ratings, self.groups, targets=self.norms.targets, **self.options, **options
        )


@stage(version=1)
def predict(
    *,
    model: str,
    layer: int,
    norms: WordNorms,
    concepts: LanguageConcepts,
    words: WordStates,
    surface: np.ndarray,
    corpus: np.ndarray | None,
    latents: Latents | None,
    folds: int,
    seed: int,
) -> StageResult:
    """Predict the ratings of one norms set from every feature set.

    Parameters
    ----------
    words
        The words rated on all targets that the model has tokens for, in the order of the norms.
    surface, corpus
        ``[n_words, k]`` what a word shows from outside, and its vectors from text (None where none are bundled).
    latents
        None without an SAE.
    """
    rated = list(words.words)
    ratings = np.stack(
        [norms.ratings(target).loc[rated].to_numpy(dtype=np.float64) for target in norms.targets], 1
    )
    language = concepts.language
    task = _Task(
        model,
        layer,
        concepts,
        norms,
        ratings,
        word_groups(rated, language),
        ~same_family(rated, concepts.concepts, language),
        folds,
        seed,
    )
    missing: list[NotComputed] = []
    n_complete = len(norms.complete())
    if n_complete < len(norms):
        why = f"{len(norms) - n_complete} words are not rated on all of {', '.join(norms.targets)}"
        missing.append(task.missing(f"some words of {norms.name}", why))
    if len(rated) < n_complete:
        why = f"{n_complete - len(rated)} words have no tokens in the model's vocabulary"
        missing.append(task.missing(f"some words of {norms.name}", why))

    def predicted_from(name: str, values: Any) -> tuple[Predicted, ...]:
        with timed(f"from {name}"):
            return task.predict(values)

    sets: dict[tuple[str, str | None], tuple[Predicted, ...]] = {}
    draws: dict[str, np.ndarray] = {}
    if latents is None:
        sets["space", None] = predicted_from("space", words.states @ concepts.directions().T)
        why = "they are draws of SAE latents, and this study has no SAE"
        missing.append(task.missing("outside, top-firing and shuffled controls", why))
    else:
        assert words.codes is not None
        values = words.codes.log1p().tocsr()
        for name, chosen in _latent_sets(task, latents, values).items():
            if len(chosen):
                sets[name, None] = predicted_from(name, values[:, chosen])
            else:
                missing.append(task.missing(f"prediction from {name} features", "there are none"))
        draws = _draws(task, latents, values, missing)
    sets["dense", None] = predicted_from("dense", words.layers)
    sets["static", "input embeddings"] = predicted_from("static", words.static)
    if corpus is None:
        missing.append(task.missing("PPMI-SVD baseline", "no corpus of this language is bundled"))
    else:
        sets["static", "PPMI-SVD of the corpora"] = predicted_from("static", corpus)
    sets["surface", None] = predicted_from("surface", surface)

    records = [
        record
        for (name, source), predictions in sets.items()
        for index, predicted in enumerate(predictions)
        for record in _records(task, name, source, predicted, index, draws)
    ]
    if latents is not None:
        records += _draw_records(task, latents, draws)
    tables = {
        "predictions": _prediction_table(language, norms, rated, sets),
        "layer_curve": _layer_curve(language, norms, sets["dense", None]),
    }
    if draws:
        tables["draws"] = _draw_table(language, norms, draws)
    return StageResult(
        {"prediction": records, "comparison": _comparisons(task, sets)},
        tables,
        missing,
    )


def _own(task: _Task) -> np.ndarray:
    assert task.concepts.latents is not None
    return task.concepts.latents


def _latent_sets(task: _Task, latents: Latents, values: csr_matrix) -> dict[str, np.ndarray]:
    """Return the latents of each feature set that is one set and no draw."""
    sets = {"space": _own(task)}
    if latents.shared is not None and latents.specific is not None:
        sets |= {"shared": latents.shared, "specific": latents.specific}
    fires = np.asarray((values > 0).sum(0)).ravel()
    # A latent that fires on hardly any word cannot be standardised in every fold.
    return sets | {
        "top_firing": top_firing(latent_profile(values), len(_own(task))),
        "all": np.flatnonzero(fires >= 2 * task.folds),
    }


@timed("draws and shuffled sets")
def _draws(
    task: _Task, latents: Latents, values: csr_matrix, missing: list[NotComputed]
) -> dict[str, np.ndarray]:
    """Return r of each kind of draw, ``[n_draws, n_targets, 2]`` (all words, concept words left out)."""
    space, seed = _own(task), task.seed
    sizes = latent_profile(values)
    found = {}

    def drawn(name: str, draws: np.ndarray) -> None:
        with timed(f"from {name}"):
            found[name] = predict_draws(values, draws, task.ratings, task.groups, **task.options)

    if n_draws := latents.n_draws:
        outside: dict[str, Any] = {"seed": seed, "exclude": latents.everywhere}
        try:
            matched = matched_draws(space, sizes, n_draws, **outside)
            random = random_draws(len(sizes), len(space), min(200, n_draws), **outside)
        except EmospaceError as error:
            missing.append(task.missing("outside controls", str(error)))
        else:
            if matched.scarce:
                why = f"only {matched.n_active} latents outside fire on these words; beating such draws shows little"
                missing.append(task.missing("a matched control of full strength", why))
            drawn("outside", matched.draws)
            drawn("outside_random", random)
            if latents.shared is not None and len(latents.shared):
                drawn("outside_shared", matched_draws(latents.shared, sizes, n_draws, **outside).draws)
    shuffled = [task.predict(values[:, chosen], n_bootstrap=10) for chosen in _shuffled(task, latents)]
    if shuffled:
        found["shuffled"] = np.stack([np.stack([_both(row) for row in rows]) for rows in shuffled])
    elif latents.n_shuffled:
        why = "selection finds no latent at all for random neutral words"
        missing.append(task.missing("shuffled control", why))
    return found


def _both(predicted: Predicted) -> np.ndarray:
    return np.array([predicted.all_words.r, predicted.without_concepts.r])


@timed("shuffled selection")
def _shuffled(task: _Task, latents: Latents) -> list[np.ndarray]:
    """Return the latents that the same selection finds for concept-sets of random neutral words."""
    concepts, language = task.concepts, task.language
    assert concepts.words.codes is not None
    found = []
    for draw in track(range(latents.n_shuffled), f"Shuffled sets, {language}", "draws"):
        sets, pool = shuffled_sets(concepts.sets, language, concepts.pool, seed=task.seed + draw)
        try:
            chosen = select_features(
                concepts.words.codes,
                concepts.words.words,
                sets,
                language,
                pool,
                rule=latents.rule,
                q=1.0,
                max_features=len(_own(task)),
                n_permutations=0,
            )
        except EmospaceError:
            continue
        found.append(chosen.latents)
    return found


def _records(
    task: _Task,
    features: str,
    source: str | None,
    predicted: Predicted,
    index: int,
    draws: Mapping[str, np.ndarray],
) -> list[PredictionRecord]:
    """Return the record over all words and the one with concept words out of the test folds."""
    reliability = task.norms.reliability(predicted.target)
    layer = Counter(predicted.layer).most_common(1)[0][0] if features == "dense" else task.layer
    records = []
    for excluded, score in ((False, predicted.all_words), (True, predicted.without_concepts)):
        drawn = draws.get("outside_shared" if features == "shared" else "outside")
        beaten = None if drawn is None else above_draws(score.r, drawn[:, index, int(excluded)])
        records.append(
            PredictionRecord(
                **task.common,
                layer=None if features in {"static", "surface"} else layer,
                n=score.n,
                target=predicted.target,
                features=features,
                static_source=source,
                excluded_concepts=excluded,
                n_features=predicted.n_features,
                r=score.r,
                ci_low=score.ci_low,
                ci_high=score.ci_high,
                p=score.p,
                r2=score.r2,
                draws_beaten=beaten.fraction
                if beaten and features in {"space", "shared", "specific"}
                else None,
                ceiling=task.norms.ceiling(predicted.target),
                reliability=reliability,
                disattenuated_r=score.disattenuated(reliability),
                layers_chosen=",".join(map(str, predicted.layer)) if features == "dense" else None,
            )
        )
    return records


def _draw_records(task: _Task, latents: Latents, draws: Mapping[str, np.ndarray]) -> list[PredictionRecord]:
    records = []
    for kind, values in draws.items():
        drawn_for = latents.shared if kind == "outside_shared" else None
        for index, target in enumerate(task.norms.targets):
            for excluded in (False, True):
                r = values[:, index, int(excluded)]
                low, high = np.quantile(r, [0.025, 0.975])
                records.append(
                    PredictionRecord(
                        **task.common,
                        layer=task.layer,
                        n=int(task.scored.sum()) if excluded else len(task.scored),
                        target=target,
                        features=kind,
                        excluded_concepts=excluded,
                        n_features=len(_own(task) if drawn_for is None else drawn_for),
                        r=float(r.mean()),
                        ci_low=float(low),
                        ci_high=float(high),
                        n_draws=len(r),
                        draws_low=float(low),
                        draws_high=float(high),
                    )
                )
    return records


@timed("comparisons")
def _comparisons(
    task: _Task, sets: Mapping[tuple[str, str | None], Sequence[Predicted]]
) -> list[ComparisonRecord]:
    records = []
    for features, against in COMPARED:
        for (name, source), others in sets.items():
            if name != against or (features, None) not in sets:
                continue
            for one, other in zip(sets[features, None], others, strict=True):
                for excluded in (False, True):
                    found = compare(one, other, without_concepts=excluded, seed=task.seed)
                    records.append(
                        ComparisonRecord(
                            **task.common,
                            layer=task.layer,
                            n=found.n,
                            target=one.target,
                            features=features,
                            against=against,
                            static_source=source,
                            excluded_concepts=excluded,
                            difference=found.difference,
                            ci_low=found.ci_low,
                            ci_high=found.ci_high,
                            equivalence_low=found.low90,
                            equivalence_high=found.high90,
                            margin=found.margin,
                            equivalent=found.equivalent,
                            p=found.p,
                        )
                    )
    return records


def _prediction_table(
    language: str,
    norms: WordNorms,
    words: Sequence[str],
    sets: Mapping[tuple[str, str | None], Sequence[Predicted]],
) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(
        [
            pd.DataFrame(
                {
                    "language": language,
                    "norms": norms.name,
                    "word": list(words),
                    "target": one.target,
                    "observed": one.observed,
                    "predicted": one.out_of_fold,
                    "predicted_dense": dense.out_of_fold,
                    "concept_word": ~one.scored,
                    "fold": one.folds,
                    "group": one.groups,
                }
            )
            for one, dense in zip(sets["space", None], sets["dense", None], strict=True)
        ],
        ignore_index=True,
    )


def _layer_curve(language: str, norms: WordNorms, dense: Sequence[Predicted]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            {"language": language, "norms": norms.name, "target": one.target, "layer": layer, "r": float(r)}
            for one in dense
            for layer, r in zip(one.layers, one.layer_r[:, 0], strict=True)
        ]
    )


def _draw_table(language: str, norms: WordNorms, draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "language": language,
                "norms": norms.name,
                "target": target,
                "excluded_concepts": excluded,
                "kind": kind,
                "r": float(r),
            }
            for kind, values in draws.items()
            for index, target in enumerate(norms.targets)
            for excluded in (False, True)
            for r in values[:, index, int(excluded)]
        ]
    )
