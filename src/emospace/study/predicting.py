"""The prediction stage: ratings of words from the space, its parts, and every baseline it has to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.baselines import input_embeddings, ppmi_vectors, surface_features, vector_languages
from emospace.display import track
from emospace.errors import EmospaceError
from emospace.features import select_features, shuffled_sets, specific_latents
from emospace.lexicon import base_language, same_family, word_groups
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
from emospace.study.cache import StageResult

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_matrix

    from emospace.norms import WordNorms
    from emospace.study.material import Study

COMPARED = (("space", "shared"), ("space", "static"), ("space", "top_firing"), ("dense", "space"))


def predict(study: Study, language: str, norms: WordNorms) -> StageResult:
    """Predict the ratings of one norms set from every feature set."""
    spec, model = study.spec, study.model
    encoded = study.encoded(language)
    known = set(encoded.words)
    rated = norms.complete()
    words = [word for word in rated.words if word in known]
    rows = encoded.rows(words)
    ratings = np.stack(
        [rated.ratings(target).loc[words].to_numpy(dtype=np.float64) for target in norms.targets], 1
    )
    groups = word_groups(words, language)
    scored = ~same_family(words, study.sets.words(language), language)
    common: dict[str, Any] = {
        "targets": norms.targets,
        "scored": scored,
        "folds": spec.folds,
        "seed": spec.seed,
    }
    missing: list[NotComputed] = []
    if len(rated) < len(norms):
        why = f"{len(norms) - len(rated)} words are not rated on all of {', '.join(norms.targets)}"
        missing.append(NotComputed(what=f"some words of {norms.name}", why=why, language=language))
    if len(words) < len(rated):
        why = f"{len(rated) - len(words)} words have no tokens in the model's vocabulary"
        missing.append(NotComputed(what=f"some words of {norms.name}", why=why, language=language))

    def predicted_from(name: str, values: np.ndarray) -> tuple[Predicted, ...]:
        with timed(f"from {name}"):
            return predict_ratings(values, ratings, groups, **common)

    sets: dict[tuple[str, str | None], tuple[Predicted, ...]] = {}
    draws: dict[str, np.ndarray] = {}
    codes = encoded.codes
    if codes is not None:
        values = codes[rows].log1p().tocsr()
        for name, latents in _latent_sets(study, language, values).items():
            if len(latents):
                sets[name, None] = predicted_from(name, values[:, latents].toarray())
            else:
                missing.append(
                    NotComputed(
                        what=f"prediction from {name} features", why="there are none", language=language
                    )
                )
        draws = _draws(study, language, values, ratings, groups, common, missing)
    else:
        from emospace.features import dense_directions

        directions = dense_directions(
            encoded.states, encoded.words, study.sets, language, study.pool(language)
        )
        sets["space", None] = predicted_from("space", encoded.states[rows] @ directions.T)
        why = "they are draws of SAE latents, and this study has no SAE"
        missing.append(
            NotComputed(what="outside, top-firing and shuffled controls", why=why, language=language)
        )
    sets["dense", None] = predicted_from("dense", encoded.all_layers(rows))
    sets["static", "input embeddings"] = predicted_from("static", input_embeddings(model, words))
    if base_language(language) in vector_languages():
        vectors = ppmi_vectors(language, words).vectors
        sets["static", "PPMI-SVD of the corpora"] = predicted_from("static", vectors)
    else:
        missing.append(
            NotComputed(
                what="PPMI-SVD baseline", why="no corpus of this language is bundled", language=language
            )
        )
    surface = surface_features(words, language, model.tokenizer).to_numpy()
    sets["surface", None] = predicted_from("surface", surface)

    records: list[PredictionRecord] = []
    for (name, source), predictions in sets.items():
        for index, predicted in enumerate(predictions):
            records += _records(study, language, norms, name, source, predicted, index, draws)
    records += _draw_records(study, language, norms, draws, scored)
    tables = {
        "predictions": _prediction_table(language, norms, words, sets),
        "layer_curve": _layer_curve(language, norms, sets["dense", None]),
    }
    if draws:
        tables["draws"] = _draw_table(language, norms, draws)
    return StageResult(
        {"prediction": records, "comparison": _comparisons(study, language, norms, sets)}, tables, missing
    )


def _latent_sets(study: Study, language: str, values: csr_matrix) -> dict[str, np.ndarray]:
    """Return the latents of each feature set that is one set and no draw."""
    dictionaries = {name: study.dictionary(name) for name in study.languages}
    space = dictionaries[language].latents
    sets = {"space": space}
    if len(dictionaries) > 1:
        sets |= {"shared": study.universal, "specific": specific_latents(dictionaries, language)}
    fires = np.asarray((values > 0).sum(0)).ravel()
    # A latent that fires on hardly any word cannot be standardised in every fold.
    return sets | {
        "top_firing": top_firing(latent_profile(values), len(space)),
        "all": np.flatnonzero(fires >= 2 * study.spec.folds),
    }


@timed("draws and shuffled sets")
def _draws(
    study: Study,
    language: str,
    values: csr_matrix,
    ratings: np.ndarray,
    groups: np.ndarray,
    common: Mapping[str, Any],
    missing: list[NotComputed],
) -> dict[str, np.ndarray]:
    """Return r of each kind of draw, ``[n_draws, n_targets, 2]`` (all words, concept words left out)."""
    spec, space = study.spec, study.dictionary(language).latents
    options = {name: common[name] for name in ("scored", "folds", "seed")}
    every = np.unique(np.concatenate([study.dictionary(name).latents for name in study.languages]))
    sizes = latent_profile(values)
    found = {}
    if spec.n_draws:
        try:
            matched = matched_draws(space, sizes, spec.n_draws, seed=spec.seed, exclude=every)
            random = random_draws(
                len(sizes), len(space), min(200, spec.n_draws), seed=spec.seed, exclude=every
            )
        except EmospaceError as error:
            missing.append(NotComputed(what="outside controls", why=str(error), language=language))
        else:
            if matched.scarce:
                why = f"only {matched.n_active} latents outside fire on these words; beating such draws shows little"
                missing.append(
                    NotComputed(what="a matched control of full strength", why=why, language=language)
                )
            with timed("from outside"):
                found["outside"] = predict_draws(values, matched.draws, ratings, groups, **options)
            with timed("from outside_random"):
                found["outside_random"] = predict_draws(values, random, ratings, groups, **options)
            if len(shared := study.universal) and len(study.languages) > 1:
                alike = matched_draws(shared, sizes, spec.n_draws, seed=spec.seed, exclude=every)
                with timed("from outside_shared"):
                    found["outside_shared"] = predict_draws(values, alike.draws, ratings, groups, **options)
    shuffled = [
        predict_ratings(values[:, latents].toarray(), ratings, groups, n_bootstrap=10, **common)
        for latents in _shuffled(study, language)
    ]
    if shuffled:
        found["shuffled"] = np.stack([np.stack([_both(row) for row in rows]) for rows in shuffled])
    elif spec.n_shuffled:
        why = "selection finds no latent at all for random neutral words"
        missing.append(NotComputed(what="shuffled control", why=why, language=language))
    return found


def _both(predicted: Predicted) -> np.ndarray:
    return np.array([predicted.all_words.r, predicted.without_concepts.r])


@timed("shuffled selection")
def _shuffled(study: Study, language: str) -> list[np.ndarray]:
    """Return the latents that the same selection finds for concept-sets of random neutral words."""
    encoded = study.encoded(language)
    pool = study.pool(language)
    assert encoded.codes is not None
    found = []
    for draw in track(range(study.spec.n_shuffled), f"Shuffled sets, {language}", "draws"):
        sets, drawn_pool = shuffled_sets(study.sets, language, pool, seed=study.spec.seed + draw)
        try:
            chosen = select_features(
                encoded.codes,
                encoded.words,
                sets,
                language,
                drawn_pool,
                rule=study.spec.rule,
                q=1.0,
                max_features=len(study.dictionary(language).latents),
                n_permutations=0,
            )
        except EmospaceError:
            continue
        found.append(chosen.latents)
    return found


def _records(
    study: Study,
    language: str,
    norms: WordNorms,
    features: str,
    source: str | None,
    predicted: Predicted,
    index: int,
    draws: Mapping[str, np.ndarray],
) -> list[PredictionRecord]:
    """Return the record over all words and the one with concept words out of the test folds."""
    reliability = norms.reliability(predicted.target)
    layer = Counter(predicted.layer).most_common(1)[0][0] if features == "dense" else study.layer
    records = []
    for excluded, score in ((False, predicted.all_words), (True, predicted.without_concepts)):
        drawn = draws.get("outside_shared" if features == "shared" else "outside")
        beaten = None if drawn is None else above_draws(score.r, drawn[:, index, int(excluded)])
        records.append(
            PredictionRecord(
                model=study.name,
                layer=None if features in {"static", "surface"} else layer,
                n=score.n,
                seed=study.spec.seed,
                language=language,
                norms=norms.name,
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
                ceiling=norms.ceiling(predicted.target),
                reliability=reliability,
                disattenuated_r=score.disattenuated(reliability),
                layers_chosen=",".join(map(str, predicted.layer)) if features == "dense" else None,
            )
        )
    return records


def _draw_records(
    study: Study,
    language: str,
    norms: WordNorms,
    draws: Mapping[str, np.ndarray],
    scored: np.ndarray,
) -> list[PredictionRecord]:
    records = []
    for kind, values in draws.items():
        drawn_for = study.universal if kind == "outside_shared" else study.dictionary(language).latents
        for index, target in enumerate(norms.targets):
            for excluded in (False, True):
                r = values[:, index, int(excluded)]
                low, high = np.quantile(r, [0.025, 0.975])
                records.append(
                    PredictionRecord(
                        model=study.name,
                        layer=study.layer,
                        n=int(scored.sum()) if excluded else len(scored),
                        seed=study.spec.seed,
                        language=language,
                        norms=norms.name,
                        target=target,
                        features=kind,
                        excluded_concepts=excluded,
                        n_features=len(drawn_for),
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
    study: Study, language: str, norms: WordNorms, sets: Mapping[tuple[str, str | None], Sequence[Predicted]]
) -> list[ComparisonRecord]:
    records = []
    for features, against in COMPARED:
        for (name, source), others in sets.items():
            if name != against or (features, None) not in sets:
                continue
            for one, other in zip(sets[features, None], others, strict=True):
                for excluded in (False, True):
                    found = compare(one, other, without_concepts=excluded, seed=study.spec.seed)
                    records.append(
                        ComparisonRecord(
                            model=study.name,
                            layer=study.layer,
                            n=found.n,
                            seed=study.spec.seed,
                            language=language,
                            norms=norms.name,
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
