"""Model x model RSA: the main RDMs of two runs on the categories both have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace import stats
from emospace.alignment.rsa import placeless
from emospace.comparison.records import ModelRSARecord
from emospace.comparison.runs import FEWEST, NamedRun
from emospace.errors import EmospaceError
from emospace.report.run import Absent

if TYPE_CHECKING:
    import pandas as pd

BEFORE = "states before the first block"
"""Layer 0: input embeddings, with positions where a model adds them there; what the words bring without any depth."""

Squares = Mapping[str, "pd.DataFrame"]


def model_rsa(
    a: NamedRun,
    b: NamedRun,
    language: str,
    before: Squares,
    *,
    seed: int,
    n_permutations: int = 9999,
    n_bootstrap: int = 2000,
) -> ModelRSARecord:
    """Correlate the main RDMs of two runs (Spearman; Mantel; bootstrap of categories).

    Parameters
    ----------
    before
        Run name -> square RDM of the states before the first block, of the runs that hold it.
    """
    common: dict[str, Any] = {
        "a": a.name,
        "b": b.name,
        "space_a": a.run.main_space,
        "space_b": b.run.main_space,
        "language": language,
        "seed": seed,
        "n_permutations": n_permutations,
    }
    try:
        squares = [item.run.rdm(f"rdm_{language}") for item in (a, b)]
    except Absent as reason:
        return ModelRSARecord(**common, n=0, reason=str(reason))
    names = [name for name in squares[0].index if name in squares[1].index]
    common["n"] = len(names)
    if len(names) < FEWEST:
        return ModelRSARecord(**common, reason=too_few(len(names)))
    pair = [square.loc[names, names].to_numpy() for square in squares]
    for item, square in zip((a, b), pair, strict=True):
        if why := placeless(square, names):
            return ModelRSARecord(**common, reason=f"{why} ({item.name})")
    try:
        test = stats.mantel(*pair, seed=seed, n_permutations=n_permutations)
        interval = stats.bootstrap_rdm(*pair, seed=seed, n=n_bootstrap)
    except EmospaceError as error:
        return ModelRSARecord(**common, reason=error.why)
    if not np.isfinite(test.value):
        return ModelRSARecord(**common, reason="one of the two RDMs does not vary")
    figures = {"value": test.value, "ci_low": interval.low, "ci_high": interval.high, "p": test.p}
    common["reason"] = stats.left_out(*pair)
    if a.name in before and b.name in before:
        words = [before[item.name].reindex(index=names, columns=names).to_numpy() for item in (a, b)]
        if all(np.isfinite(square).all() for square in words):
            figures["baseline"] = stats.rdm_correlation(*words)
            given = stats.mantel(*pair, partial=words, seed=seed, n_permutations=n_permutations)
            held = stats.bootstrap_rdm(*pair, partial=words, seed=seed, n=n_bootstrap)
            figures |= {"partial": given.value, "partial_p": given.p}
            figures |= {"partial_low": held.low, "partial_high": held.high}
            common["baseline_name"] = BEFORE
    return ModelRSARecord(**common, **figures)


def too_few(n: int) -> str:
    """Return the reason why so few common categories are not compared."""
    return f"they share {n} categories; at least {FEWEST} are needed"
