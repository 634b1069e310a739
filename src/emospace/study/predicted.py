"""The records and tables of the prediction stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emospace.prediction import Predicted, above_draws, compare_predictions
from emospace.profiling import timed
from emospace.records import INPUT, ComparisonRecord, PredictionRecord

if TYPE_CHECKING:
    import pandas as pd

    from emospace.norms import WordNorms
    from emospace.study.task import RatingTask

JOINED = ("dense_static", "space_static")
"""Feature sets joined with the input embeddings, which these alone are held against."""
OF_LAYERS = ("dense", "dense_static")
WITHOUT_DEPTH = ("static", "static_concepts", "static_pcs", "surface")
COMPARED = (
    ("space", "shared"),
    ("space", "static"),
    ("space", "top_firing"),
    ("space", "static_concepts"),
    ("space", "static_pcs"),
    ("dense", "space"),
    ("dense_static", "static"),
    ("space_static", "static"),
)
"""Pairs of feature sets whose difference in r is given."""


def prediction_records(
    task: RatingTask,
    features: str,
    source: str | None,
    predicted: Predicted,
    index: int,
    draws: Mapping[str, np.ndarray],
) -> list[PredictionRecord]:
    """Return the record over all words and the one with concept words out of the test folds."""
    reliability = task.norms.reliability(predicted.target)
    layers = predicted.layer if features in OF_LAYERS else ()
    layer = Counter(layers).most_common(1)[0][0] if layers else task.layer
    records = []
    for excluded, score in ((False, predicted.all_words), (True, predicted.without_concepts)):
        drawn = draws.get("outside_shared" if features == "shared" else "outside")
        beaten = None if drawn is None else above_draws(score.r, drawn[:, index, int(excluded)])
        records.append(
            PredictionRecord(
                **task.common,
                layer=None if features in WITHOUT_DEPTH else layer,
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
                layers_chosen=",".join(map(str, layers)) or None,
            )
        )
    return records


def draw_records(
    task: RatingTask, draws: Mapping[str, np.ndarray], sizes: Mapping[str, int]
) -> list[PredictionRecord]:
    """Return the mean and central 95% of each kind of draw; `sizes` are the numbers of features of the sets."""
    records = []
    for kind, values in draws.items():
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
                        n_features=sizes["shared" if kind == "outside_shared" else "space"],
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
def comparison_records(
    task: RatingTask, sets: Mapping[tuple[str, str | None], Sequence[Predicted]]
) -> list[ComparisonRecord]:
    """Return the differences of `COMPARED`, over all words and with concept words left out."""
    records = []
    for features, against in COMPARED:
        for (name, source), others in sets.items():
            if name != against or (features, None) not in sets:
                continue
            if features in JOINED and source != INPUT:
                continue
            for one, other in zip(sets[features, None], others, strict=True):
                for excluded in (False, True):
                    found = compare_predictions(one, other, without_concepts=excluded, seed=task.seed)
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


def prediction_table(
    language: str,
    norms: WordNorms,
    words: Sequence[str],
    sets: Mapping[tuple[str, str | None], Sequence[Predicted]],
) -> pd.DataFrame:
    """Return the rating of each word beside those predicted from the space and from dense states."""
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


def layer_curve(language: str, norms: WordNorms, dense: Sequence[Predicted]) -> pd.DataFrame:
    """Return r of each layer of dense states taken alone."""
    import pandas as pd

    return pd.DataFrame(
        [
            {"language": language, "norms": norms.name, "target": one.target, "layer": layer, "r": float(r)}
            for one in dense
            for layer, r in zip(one.layers, one.layer_r[:, 0], strict=True)
        ]
    )


def draw_table(language: str, norms: WordNorms, draws: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return r of each draw."""
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
