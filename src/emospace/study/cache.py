"""Stage results on disk: records as JSON, tables as parquet, keyed by all that went into them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emospace.artefacts import content_hash, read_json, write_json, write_parquet

if TYPE_CHECKING:
    import pandas as pd

    from emospace.records import NotComputed, Record

log = logging.getLogger(__name__)

RECORDS = "records.json"
FORMAT = 4
"""Raised when a stage computes something else from the same inputs, so that old results are not taken for new."""


@dataclass(frozen=True)
class StageResult:
    """What a stage publishes: records by kind, tables by name, and what it could not give."""

    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    not_computed: Sequence[NotComputed] = ()


def remembered(
    folder: Path,
    stage: str,
    inputs: Sequence[Any],
    kinds: Mapping[str, type[Record]],
    compute: Callable[[], StageResult],
) -> StageResult:
    """Return a stage's result from `folder` if one with the same inputs is there whole, else compute and keep it."""
    home = folder / f"{stage}-{content_hash(FORMAT, *inputs)}"
    found = _read(home, kinds)
    if found is not None:
        return found
    result = compute()
    for name, table in result.tables.items():
        write_parquet(home / f"{name}.parquet", table)
    # Written last: a stage without it is not finished.
    write_json(
        home / RECORDS,
        {
            "records": {
                kind: [row.model_dump(mode="json") for row in rows] for kind, rows in result.records.items()
            },
            "not_computed": [row.model_dump(mode="json") for row in result.not_computed],
            "tables": list(result.tables),
        },
    )
    return result


def _read(home: Path, kinds: Mapping[str, type[Record]]) -> StageResult | None:
    """Return a finished stage's result, or None where it is not there or damaged (then it is computed again)."""
    import pandas as pd

    from emospace.records import NotComputed

    if not (home / RECORDS).is_file():
        return None
    try:
        saved = read_json(home / RECORDS)
        return StageResult(
            {
                kind: [kinds[kind].model_validate(row) for row in rows]
                for kind, rows in saved["records"].items()
            },
            {name: pd.read_parquet(home / f"{name}.parquet") for name in saved["tables"]},
            [NotComputed.model_validate(row) for row in saved["not_computed"]],
        )
    # A file cut short can be wrong in any of these ways; pyarrow's and pydantic's errors are ValueErrors.
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("stage %s cannot be read (%s); computing it again", home.name, error)
        return None
