"""The rated categories a figure between model and people rests on, and how its fields are filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emospace.records import Alignment, Statistic
from emospace.structure import FEWEST_RATED

if TYPE_CHECKING:
    from emospace.space import EmotionSpace
    from emospace.structure import CategoryRatings

Floats = NDArray[np.float64]
AFFECT = ("valence", "arousal")


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
        "against": "valence_arousal",
        "n": len(names),
        "seed": seed,
        "space": space.kind,
        "norms": ratings.norms,
        "n_features": len(space.latents),
        "n_label": len(names) - n_derived,
        "n_derived": n_derived,
    }
    return Rated(names, values, sd, raters, common, reason)


def figure(
    statistic: Statistic,
    target: str | None,
    common: Mapping[str, Any],
    value: float = np.nan,
    interval: Sequence[float] = (np.nan, np.nan),
    p: float = np.nan,
    **more: Any,
) -> Alignment:
    """Return an `Alignment`; one without a finite value has neither interval nor p, and a reason."""
    if not np.isfinite(value):
        interval, p = (np.nan, np.nan), np.nan
        more.setdefault("reason", "a side of the comparison does not vary")
    fields = {**common, "value": value, "ci_low": interval[0], "ci_high": interval[1], "p": p, **more}
    return Alignment(statistic=statistic, target=target, **fields)


def rater_ceiling(ceiling: float) -> dict[str, Any]:
    """Return the fields of a ceiling from rater noise, empty where the norms do not allow one."""
    return (
        {"ceiling": ceiling, "ceiling_kind": "simulated from rater SD and n"} if np.isfinite(ceiling) else {}
    )
