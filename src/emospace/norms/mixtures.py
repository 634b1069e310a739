"""Several scales in one file: blocks of rows, or rows of one source, that lie off the scale of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import pandas as pd

SOURCES = {
    "source", "study", "dataset", "database", "norms", "origin", "quelle", "studie", "fuente", "estudio", "base",
    "fonte", "studio", "source_study", "list", "来源", "來源", "出处", "출처",
}  # fmt: skip
"""Headers, in `plain` form, of columns that say where a row is from."""

FEWEST = 10
DENSE = 0.1
NARROW = ((0.0, 1.0), (1.0, 4.0), (1.0, 5.0), (1.0, 7.0))


def refuse_mixture(
    table: pd.DataFrame,
    scales: Mapping[str, tuple[float, float]],
    rows: pd.Series,
    labels: Mapping[str, pd.Series],
    what: str,
) -> None:
    """Refuse ratings of which a part lies on another scale than the one declared.

    Parameters
    ----------
    table
        Numbers of each target, NaN where a cell is none.
    scales
        Target -> declared (lowest, highest) answer.
    rows
        Number of each row in the file.
    labels
        Header -> cells of the columns that say where a row is from.

    Raises
    ------
    EmospaceError
        If one source, or one run of rows, is off the scale in at least a tenth of its ratings (and 3 of them, of 10 or
        more) while the others lie on it.
    """
    for target, (low, high) in scales.items():
        values = table[target].to_numpy(float)
        known = np.isfinite(values)
        off = known & ((values < low - 1e-6) | (values > high + 1e-6))
        if off.sum() < 3 or not (known & ~off).any():
            continue
        for header, cells in labels.items():
            groups = {str(label): (cells == label).to_numpy() & known for label in cells.unique()}
            wrong = [label for label, here in groups.items() if _is_off(here, off)]
            inside = [here for label, here in groups.items() if label not in wrong]
            if (
                wrong
                and inside
                and not (off & np.any(inside, axis=0)).sum() > 0.02 * np.any(inside, axis=0).sum()
            ):
                here = np.any([groups[label] for label in wrong], axis=0)
                where = f"the rows with {header} {', '.join(repr(label) for label in wrong)}"
                raise _mixed(what, target, where, values, here, known, (low, high))
        at = np.flatnonzero(off)
        here = np.zeros(len(values), bool)
        here[at[0] : at[-1] + 1] = True
        if _is_off(here & known, off) and here.sum() <= 0.9 * len(here):
            where = f"rows {rows.iloc[at[0]]} to {rows.iloc[at[-1]]}"
            raise _mixed(what, target, where, values, here & known, known, (low, high))


def suspects(
    table: pd.DataFrame, scales: Mapping[str, tuple[float, float]], labels: Mapping[str, pd.Series]
) -> list[str]:
    """Return sources whose ratings end where a narrower scale does, so that they may lie on one; no proof."""
    found = []
    for header, cells in labels.items():
        for label in cells.unique():
            here = (cells == label).to_numpy()
            for low, high in NARROW:
                ends = [_ends_at(table[t].to_numpy(float), here, (low, high), scales[t]) for t in scales]
                if ends and all(ends) and here.sum() >= 30:
                    found.append(f"{header} '{label}': {', '.join(scales)} all within {low:g} to {high:g}")
                    break
    return found


def _ends_at(
    values: np.ndarray, here: np.ndarray, narrow: tuple[float, float], scale: tuple[float, float]
) -> bool:
    inside, rest = values[here & np.isfinite(values)], values[~here & np.isfinite(values)]
    if not len(inside) or not len(rest) or narrow[1] >= scale[1] or narrow[0] < scale[0] - 1e-6:
        return False
    low, high = narrow
    near = 0.15 * (high - low)
    fits = low <= inside.min() and high - near <= inside.max() <= high + 1e-6
    return bool(fits and np.quantile(rest, 0.95) > high)


def _is_off(here: np.ndarray, off: np.ndarray) -> bool:
    n, wrong = int(here.sum()), int((here & off).sum())
    return n >= FEWEST and wrong >= 3 and wrong >= DENSE * n


def _mixed(
    what: str,
    target: str,
    where: str,
    values: np.ndarray,
    here: np.ndarray,
    known: np.ndarray,
    scale: tuple[float, float],
) -> EmospaceError:
    inside, rest = values[here], values[known & ~here]
    return EmospaceError(
        what,
        f"it mixes scales: {where} hold {target} from {inside.min():g} to {inside.max():g}, the others from "
        f"{rest.min():g} to {rest.max():g}, and the scale is {scale[0]:g} to {scale[1]:g}",
        "Split the file by scale and give both, each with its own scale.",
    )
