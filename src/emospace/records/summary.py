"""Means and medians over records of one kind, as pages state them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import fmean, median
from typing import Literal

from pydantic import Field

from emospace.records.flat import Explained


class SummaryRecord(Explained):
    """The mean or median of one field over records of one kind, as pages state it; n counts the records with a value.

    ``of`` names the records as `Results` does, ``figure`` their field; ``among`` says which of them, field by field.
    """

    figure_field = "value"

    statistic: Literal["mean", "median"] = "mean"
    of: str
    figure: str
    among: dict[str, str]
    value: float | None
    n: int = Field(ge=0)


def summarised(
    of: str,
    figure: str,
    among: Mapping[str, str],
    values: Iterable[float | None],
    statistic: Literal["mean", "median"] = "mean",
) -> tuple[SummaryRecord, ...]:
    """Return the record of the mean or median of the values that are known and finite; none where there is none.

    Parameters
    ----------
    of, figure, among
        As in `SummaryRecord`.
    """
    finite = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return ()
    value = fmean(finite) if statistic == "mean" else median(finite)
    return (
        SummaryRecord(
            statistic=statistic, of=of, figure=figure, among=dict(among), value=value, n=len(finite)
        ),
    )
