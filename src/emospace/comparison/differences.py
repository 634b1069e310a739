"""Which run predicts ratings better: a paired bootstrap of the difference in r on the words both predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emospace import stats
from emospace.comparison.records import DifferenceRecord
from emospace.comparison.runs import NamedRun
from emospace.prediction import correlation
from emospace.prediction.scores import centred, spread
from emospace.report.run import Absent

if TYPE_CHECKING:
    import pandas as pd

Features = Literal["space", "dense"]
COLUMNS: Mapping[Features, str] = {"space": "predicted", "dense": "predicted_dense"}
FEWEST_GROUPS = 10


def read_predictions(item: NamedRun, language: str, norms: str, target: str) -> pd.DataFrame:
    """Read a run's predictions of one rating, indexed by word, of the words that are no concept words.

    Returns
    -------
    ``observed`` is on the norms' own scale, the predictions (`COLUMNS`) are out of fold; ``fold`` is that of a word,
    ``group`` the group of words (inflections) it belongs to.

    Raises
    ------
    Absent
        If the run holds no such predictions, or was made before its table held folds and groups.
    """
    columns = ("language", "norms", "word", "target", "observed", "concept_word", *COLUMNS.values())
    table = item.run.table("predictions", columns)
    if not {"fold", "group"} <= set(table.columns):
        raise Absent(
            f"{item.name} was made by an earlier version, which did not keep folds; run the study again"
        )
    table = table[(table["language"] == language) & (table["norms"] == norms) & (table["target"] == target)]
    if table.empty:
        raise Absent(f"the run has no predictions of {target} ({norms})")
    if table["word"].duplicated().any():
        raise Absent(f"tables/predictions.parquet names a word of {norms} twice")
    scored = table[~table["concept_word"].to_numpy(dtype=bool)]
    return scored.set_index(scored["word"].astype(str))


def compare_predictions(
    item: NamedRun,
    baseline: NamedRun,
    language: str,
    norms: str,
    target: str,
    *,
    seed: int,
    n_bootstrap: int = 2000,
) -> tuple[DifferenceRecord, ...]:
    """Return r of a run less r of the baseline for the emotion space and for dense states, on their common words.

    Words that are concept words of either run are left out. Both are scored within their own folds, and word groups
    are resampled for both alike; intervals and p allow for the models of the folds (`prediction.scores`).
    """
    common: dict[str, Any] = {
        "run": item.name,
        "against": baseline.name,
        "language": language,
        "norms": norms,
        "target": target,
        "seed": seed,
    }

    def nothing(why: str, n: int = 0) -> tuple[DifferenceRecord, ...]:
        return tuple(DifferenceRecord(**common, features=name, n=n, reason=why) for name in COLUMNS)

    try:
        sides = [read_predictions(run, language, norms, target) for run in (item, baseline)]
    except Absent as reason:
        return nothing(str(reason))
    words = [word for word in sides[0].index if word in sides[1].index]
    sides = [side.loc[words] for side in sides]
    if not np.allclose(sides[0]["observed"], sides[1]["observed"], atol=1e-6):
        return nothing(f"the two runs have different ratings of the name {norms}", len(words))
    groups = sides[0]["group"].to_numpy(dtype=np.int64)
    n_groups = len(np.unique(groups))
    if n_groups < FEWEST_GROUPS:
        return nothing(
            f"they share {n_groups} groups of words; at least {FEWEST_GROUPS} are needed", len(words)
        )
    r, draws = [], []
    for side in sides:
        pair = side[list(COLUMNS.values())].to_numpy(dtype=np.float64)
        y, folds = side["observed"].to_numpy(dtype=np.float64), side["fold"].to_numpy(dtype=np.int64)
        r.append(correlation(pair, y[:, None], folds))
        within = centred(np.column_stack([pair, y]), folds)
        # The same seed draws the same groups for both.
        drawn = stats.bootstrap_correlations(
            within[:, :-1].T, within[:, -1], groups, seed=seed, n=n_bootstrap
        )
        draws.append(np.nan_to_num(drawn))
    records = []
    for place, name in enumerate(COLUMNS):
        value = float(r[0][place] - r[1][place])
        tested = stats.difference_of(value, spread(value, draws[0][:, place] - draws[1][:, place]))
        records.append(
            DifferenceRecord(
                **common,
                features=name,
                n=len(words),
                n_groups=n_groups,
                r=r[0][place],
                r_against=r[1][place],
                difference=value,
                ci_low=tested.low,
                ci_high=tested.high,
                p=tested.p,
            )
        )
    return tuple(records)
