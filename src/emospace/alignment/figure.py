"""`Alignment`, one figure between model and people, and the rated categories it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from emospace.structure import FEWEST_RATED

if TYPE_CHECKING:
    from emospace.space import EmotionSpace
    from emospace.structure import CategoryRatings

Floats = NDArray[np.float64]
Statistic = Literal["rsa_spearman", "rsa_partial", "pc1_r", "best_pc_r", "cebra_r2", "procrustes"]
AFFECT = ("valence", "arousal")
AGAINST_AFFECT = "valence_arousal"


@dataclass(frozen=True)
class Alignment:
    """One statistic between the model's categories and people's.

    Field names and meanings are those of `records.AlignmentRecord`.

    Attributes
    ----------
    language
        ISO 639-1 code of the space's concepts.
    against
        The human side: ``valence_arousal``, or the name of a category structure.
    statistic
        ``rsa_spearman`` and ``rsa_partial`` (Spearman's rho of RDMs, -1..1), ``pc1_r`` and ``best_pc_r`` (absolute
        Pearson r), ``procrustes`` (Procrustes correlation, 0..1) or ``cebra_r2`` (held-out R2).
    target
        ``valence``, ``arousal``, ``circumplex`` (both as a plane), ``distance`` (both as distances) or ``structure``.
    value
        The statistic, None where `reason` says why.
    ci_low, ci_high
        95% interval, over resampled categories.
    p
        By permutation; not corrected for the number of figures.
    n
        Categories compared.
    seed
        The seed of permutations and resamples.
    ceiling, ceiling_kind
        What a perfect model would reach, in units of `value`, and how that is known; None where it is not.
    space
        What stands for the model: ``sae``, ``dense`` or ``static`` features.
    norms
        Name of the word norms behind valence and arousal; None against a structure.
    n_features
        Columns of the space.
    n_label, n_derived
        Categories whose human rating is that of their label or a lemma, and those where it is the mean of their
        concepts.
    n_permutations
        Permutations behind p.
    component
        Principal component that was taken, counted from 1.
    controls
        RDMs held constant, joined by " + ".
    baseline, baseline_name
        The same statistic for something simpler, and what that is.
    difference, difference_low, difference_high, difference_p
        What the value has over that of static embeddings, its 95% interval over the same resamples of categories and
        its two-sided p.
    reason
        Why there is no value; beside a value, which pairs are left out.
    """

    language: str
    against: str
    statistic: Statistic
    target: str | None
    value: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n: int
    seed: int
    ceiling: float | None = None
    ceiling_kind: str | None = None
    space: str = "sae"
    norms: str | None = None
    n_features: int | None = None
    n_label: int | None = None
    n_derived: int | None = None
    n_permutations: int | None = None
    component: int | None = None
    controls: str | None = None
    baseline: float | None = None
    baseline_name: str | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    difference_p: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Rated:
    """The space's categories that people rated, in the space's order, on the -1..1 scale."""

    categories: tuple[str, ...]
    values: Floats
    sd: Floats
    raters: Floats
    common: Mapping[str, Any]
    reason: str | None


def rated_categories(space: EmotionSpace, ratings: CategoryRatings, seed: int) -> Rated:
    """Return the space's categories that have both ratings, or the reason why there are too few."""
    table = ratings.table.set_index("category")
    columns = [target + suffix for suffix in ("", "_sd", "_n") for target in AFFECT]
    table = table.reindex(columns=[*columns, "source"])
    rated = table[list(AFFECT)].notna().all(axis=1)
    names = tuple(name for name in space.categories if name in table.index and rated[name])
    rows = table.loc[list(names)]

    values, sd, raters = np.split(rows[columns].to_numpy(dtype=np.float64, na_value=np.nan), 3, axis=1)
    n_derived = int((rows["source"] == "derived").sum())
    reason = None
    if len(names) < FEWEST_RATED:
        reason = (
            f"{ratings.norms} rates {len(names)} of {len(space.categories)} categories in {space.language}; "
            f"at least {FEWEST_RATED} are needed"
        )
    common = {
        "language": space.language,
        "against": AGAINST_AFFECT,
        "n": len(names),
        "seed": seed,
        "space": space.kind,
        "norms": ratings.norms,
        "n_features": len(space.latents),
        "n_label": len(names) - n_derived,
        "n_derived": n_derived,
    }
    return Rated(names, values, sd, raters, common, reason)


def finite(value: float) -> float | None:
    """Return a plain number, or None for NaN."""
    return float(value) if np.isfinite(value) else None


def figure(
    statistic: Statistic,
    target: str | None,
    common: Mapping[str, Any],
    value: float | None = None,
    interval: Sequence[float] = (np.nan, np.nan),
    p: float = np.nan,
    **more: Any,
) -> Alignment:
    """Return an `Alignment`; without a finite value, one with a reason."""
    defined = value is not None and np.isfinite(value)
    if not defined:
        more.setdefault("reason", "a side of the comparison does not vary")
    return Alignment(
        statistic=statistic,
        target=target,
        value=float(value) if defined and value is not None else None,
        ci_low=finite(interval[0]) if defined else None,
        ci_high=finite(interval[1]) if defined else None,
        p=finite(p) if defined else None,
        **{**common, **more},
    )


def rater_ceiling(ceiling: float) -> dict[str, Any]:
    """Return the fields of a ceiling from rater noise, empty where the norms do not allow one."""
    has_ceiling = bool(np.isfinite(ceiling))
    return {
        "ceiling": ceiling if has_ceiling else None,
        "ceiling_kind": "simulated from rater SD and n" if has_ceiling else None,
    }
