"""Stages: functions whose results lie on disk under a key made of their arguments, and of nothing else.

A stage is a plain function of keyword arguments. It gets no object that could load anything else, so its result cannot
depend on anything that is not in its key. Expensive arguments (states of words) are passed as `Deferred`: the key is
known at once, and the value is made only if the stage has to be computed. Errors are never kept: the next run tries
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin

import numpy as np

from emospace.artefacts import content_hash, file_hash, read_json, write_json, write_parquet
from emospace.profiling import timed
from emospace.records import NotComputed, Record, Results

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

RECORDS = "records.json"
FORMAT = 6
"""Raised when results are written in another way, so that old ones are not read."""

T = TypeVar("T")


KINDS: Mapping[str, type[Record]] = {
    name: kind
    for name, declared in Results.model_fields.items()
    if get_origin(declared.annotation) is tuple
    and isinstance(kind := get_args(declared.annotation)[0], type)
    and issubclass(kind, Record)
}
"""The records a stage may give: those that `Results` holds several of."""


@dataclass(frozen=True)
class StageResult:
    """What a stage publishes: records by kind, tables by name, and what it could not give."""

    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    not_computed: Sequence[NotComputed] = ()


@dataclass(frozen=True)
class Deferred(Generic[T]):
    """An argument that is made when a stage is computed, and not before.

    Attributes
    ----------
    key
        Changes with anything that `get` returns.
    """

    key: str
    get: Callable[[], T]


def deferred(function: Callable[..., T], **arguments: Any) -> Deferred[T]:
    """Return the result of a function as a `Deferred`, computed once, on first use."""
    return Deferred(
        content_hash(function.__qualname__, identity(arguments)),
        cache(lambda: function(**_resolved(arguments))),
    )


@dataclass(frozen=True)
class Stage:
    """A function whose result is kept; called like the function itself, it just computes.

    Attributes
    ----------
    version
        Raised when it computes something else from the same arguments, so that old results are not taken for new.
    """

    function: Callable[..., StageResult]
    version: int

    def __call__(self, **arguments: Any) -> StageResult:
        """Return what the function computes."""
        return self.function(**arguments)

    def kept(self, folder: Path, name: str, /, **arguments: Any) -> StageResult:
        """Return the result kept in `folder` for the same arguments, else compute and keep it."""
        bound = signature(self.function).bind(**arguments)
        bound.apply_defaults()
        key = content_hash(FORMAT, self.function.__qualname__, self.version, identity(bound.arguments))
        home = folder / f"{name}-{key}"
        with timed(name):
            result = _read(home)
            if result is None:
                result = self(**{name: _resolved(value) for name, value in bound.arguments.items()})
                _write(home, result)
        return result


def stage(version: int) -> Callable[[Callable[..., StageResult]], Stage]:
    """Mark a function of keyword arguments as a stage."""
    return lambda function: Stage(function, version)


def identity(value: Any) -> Any:
    """Return JSON that differs wherever two values differ, in order too: of numbers, arrays, tables and dataclasses.

    Raises
    ------
    TypeError
        For anything else, such as a model or a specification: pass what the stage uses of it.
    """
    import pandas as pd

    if value is None or isinstance(value, str | int | float | np.generic):
        return value
    if isinstance(value, Deferred):
        return {"deferred": value.key}
    if isinstance(value, np.ndarray):
        return {"array": content_hash(value)}
    if isinstance(value, pd.DataFrame):
        return {"table": [[str(name), identity(_column(value[name]))] for name in value.columns]}
    if isinstance(value, Mapping):
        return {"mapping": [[identity(key), identity(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [identity(item) for item in value]
    if isinstance(value, Record):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: identity(getattr(value, each.name)) for each in fields(value) if each.init}
        return {type(value).__name__: parts}
    raise TypeError(f"a stage cannot take a {type(value).__name__}: nothing distinguishes its values")


def _column(column: pd.Series) -> Any:
    values = column.to_numpy()
    return values if values.dtype.kind in "biuf" else column.tolist()


def _resolved(value: Any) -> Any:
    """Return an argument with everything deferred in it made."""
    if isinstance(value, Deferred):
        return value.get()
    if isinstance(value, Mapping):
        return {key: _resolved(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_resolved(item) for item in value)
    return value


def _write(home: Path, result: StageResult) -> None:
    for name, table in result.tables.items():
        write_parquet(home / f"{name}.parquet", table)
    content = {
        "records": {
            kind: [row.model_dump(mode="json") for row in rows] for kind, rows in result.records.items()
        },
        "not_computed": [row.model_dump(mode="json") for row in result.not_computed],
        "tables": {name: file_hash(home / f"{name}.parquet") for name in result.tables},
    }
    # Written last: a stage without it is not finished.
    write_json(home / RECORDS, content | {"hash": content_hash(content)})


def _read(home: Path) -> StageResult | None:
    """Return a finished stage's result, or None where it is not there or damaged (then it is computed again)."""
    import pandas as pd

    if not (home / RECORDS).is_file():
        return None
    try:
        saved = read_json(home / RECORDS)
        tables = saved["tables"]
        if saved.pop("hash") != content_hash(saved) or any(
            file_hash(home / f"{name}.parquet") != sha256 for name, sha256 in tables.items()
        ):
            raise ValueError("it changed since it was written")
        return StageResult(
            {
                kind: [KINDS[kind].model_validate(row) for row in rows]
                for kind, rows in saved["records"].items()
            },
            {name: pd.read_parquet(home / f"{name}.parquet") for name in tables},
            [NotComputed.model_validate(row) for row in saved["not_computed"]],
        )
    # A damaged file can be wrong in any of these ways; pyarrow's and pydantic's errors are ValueErrors.
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("stage %s cannot be read (%s); computing it again", home.name, error)
        return None
