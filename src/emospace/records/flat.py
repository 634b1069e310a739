"""What every record is: flat, frozen, of plain values, with a reason where its figure is null."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emospace.artefacts import jsonable, read_json, write_json
from emospace.errors import DiskError, InvalidInput

if TYPE_CHECKING:
    import pandas as pd

Provenance = Literal["curated", "associations"]
P = Field(default=None, ge=0, le=1)
Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)
Name = TypeVar("Name", bound=Hashable)
UNDEFINED = "the figure is not defined for these data"


class Flat(BaseModel):
    """A frozen record of plain values: numpy scalars become Python ones, NaN and infinity become null."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: _plain(value) for name, value in given.items()}


class Saved(Flat):
    """Records of a whole run, kept in one JSON file."""

    def save(self, path: Path | str) -> Path:
        """Write the records as JSON, atomically, and return the path.

        Parameters
        ----------
        path
            The file, usually ``results.json``; its folder is made where it is missing.
        """
        write_json(Path(path), self.model_dump(mode="json"))
        return Path(path)

    @classmethod
    def _load(cls, path: Path | str, again: str, where: str = "") -> Self:
        """Read a file of records.

        Parameters
        ----------
        again, where
            How to make a file that is as this version writes it, and how to find one; `again` unless given.

        Raises
        ------
        EmospaceError
            If there is no such file, it is not JSON, or a record does not have the fields of this version.
        """
        path = Path(path)
        try:
            return cls.model_validate(read_json(path))
        except FileNotFoundError as error:
            raise DiskError(str(path), "there is no such file", where or again) from error
        except OSError as error:
            hint = "Fix its permissions or give another file."
            raise DiskError(str(path), f"it cannot be read ({error.strerror})", hint) from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the whole file"
            why = f"{field} is not as this version writes it ({first['msg'].lower()})"
            raise InvalidInput(str(path), why, again) from error
        except ValueError as error:
            raise InvalidInput(str(path), "it is not JSON", again) from error


class Explained(Flat):
    """A record whose figure, where it is null, carries the `reason`; `figure_field` names the field, if there is one."""

    figure_field: ClassVar[str | None] = None

    reason: str | None = None

    @property
    def given(self) -> bool:
        """Whether the record has its figure."""
        return self.figure_field is None or getattr(self, self.figure_field) is not None

    @model_validator(mode="after")
    def _reason_for_null(self) -> Self:
        if not self.given and not self.reason:
            object.__setattr__(self, "reason", UNDEFINED)
        return self


class Record(Explained):
    """What every record carries.

    `layer` is the residual stream after that many blocks (null where none is meant), `n` the cases the
    figure rests on (words, categories or tokens, as the record says) and `seed` that of its random draws.
    """

    model: str
    layer: int | None
    n: int = Field(ge=0)
    seed: int

    @classmethod
    def from_figure(cls, figure: Explained, **more: Any) -> Self:
        """Return the record of a figure: its fields, and `more` beside or in place of them."""
        return cls(**{**dict(figure), **more})


class Figure(Explained):
    """What a function that knows no model gives for a record: the record's fields but `model` and `layer`."""

    figure_field: ClassVar[str | None] = "value"

    n: int = Field(ge=0)
    seed: int


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return rows by their key, in the order in which keys first come."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def matching(rows: Iterable[Row], **fields: object) -> list[Row]:
    """Return the rows whose fields have these values."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in fields.items())]


def cross_tabulated(
    rows: Iterable[Row], key: Callable[[Row], Key], name: Callable[[Row], Name]
) -> dict[Key, dict[Name, Row]]:
    """Return rows by their key, and those of a key by name; of several with the same name the last."""
    return {key: {name(row): row for row in part} for key, part in grouped(rows, key).items()}


def to_frame(records: Iterable[Any]) -> pd.DataFrame:
    """Return records as a table, a row each and a column a field.

    Parameters
    ----------
    records
        What `Results` holds, or the frozen results of functions (`predict_ratings`, `axes`): of those, fields that are
        arrays are left out, and those of a part are named after it (``all_words_r``).
    """
    import pandas as pd

    return pd.DataFrame(
        [
            record.model_dump() if isinstance(record, BaseModel) else dict(_columns(record))
            for record in records
        ]
    )


def _columns(record: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    names = getattr(record, "_fields", None) or [field.name for field in fields(record)]
    for name in names:
        value = getattr(record, name)
        if is_dataclass(value):
            yield from _columns(value, f"{prefix}{name}_")
        elif not hasattr(value, "shape") or not value.shape:
            yield prefix + name, value


def _plain(value: Any) -> Any:
    return value if isinstance(value, BaseModel | list | tuple) else jsonable(value)
