"""Published ratings files: what their columns do not say, one entry of ``data/norms/layouts.toml`` each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from importlib.resources import files
from pathlib import Path

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from emospace.norms.headers import folded, plain

Scale = tuple[float, float]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Layout:
    """One published layout.

    Parameters
    ----------
    name
        Name the norms get; empty to name them after their file.
    columns
        ``word``, targets, ``<target>_sd`` and ``<target>_n`` -> regular expression for the whole header in
        `plain` form, or several in order of preference: only those `choose_columns` would not find. ``<language>``
        stands for the name of a language; in other columns, for the one the word's header names.
    scale
        (lowest, highest) answer, for all targets or by target; None where the layout does not fix it.
    header
        The exact header line as published, for layouts whose column names are shared by others.
    requires
        Headers in `plain` form that must be there: by them the file is known.
    header_rows
        Two where an upper row names blocks: the header is then ``upper:lower``, the upper name carried right.
    headless
        Columns in order of a file published without a header row, a word and numbers.
    holds
        Words of the set, for headers shared by several sets: all must be present.
    on_scale
        Whether the ratings must also lie on `scale`, for headers shared by several sets.
    reversed
        Targets whose published scale runs from high to low.
    verified
        Whether the published file, or its header, was seen; others are as the literature and its readers say.
    suggested_by
        Headers in `plain` form that together suggest a layout known by its name alone.
    by_name
        Whether nothing in the columns identifies the set, so that only its name (``layout`` in a card) chooses it.
    """

    name: str
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    scale: Scale | dict[str, Scale] | None = None
    language: str = ""
    citation: str = ""
    licence: str = ""
    note: str = ""
    script: str = ""
    header: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    header_rows: int = 1
    headless: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    on_scale: bool = False
    reversed: tuple[str, ...] = ()
    verified: bool = False
    suggested_by: tuple[str, ...] = ()
    by_name: bool = False

    def scale_of(self, target: str) -> Scale | None:
        """Return the scale of a target, if the layout fixes one."""
        return self.scale.get(target) if isinstance(self.scale, dict) else self.scale


HEADERS_ALONE = Layout("")
"""No published layout: the headers speak for themselves."""


def _published() -> Iterator[Layout]:
    text = (files("emospace") / "data" / "norms" / "layouts.toml").read_text(encoding="utf-8")
    for name, entry in tomllib.loads(text).items():
        for form in entry.pop("files", [{}]):
            yield Layout(**{"name": name, **entry, **form})


LAYOUTS: list[Layout] = list(_published())
"""The published layouts, in the order in which they are tried."""


def suggested(headers: Sequence[str], path: str) -> tuple[str, ...]:
    """Return the layouts known by name alone that the headers, or the author in the file's name, suggest."""
    names = {plain(header) for header in headers}
    words = set(re.split(r"[\W_\d]+", folded(Path(path).stem)))

    def fits(layout: Layout) -> bool:
        author = {part for part in layout.name.split("_")[1:] if len(part) > 2 and part.isalpha()}
        return bool(author & words or (layout.suggested_by and set(layout.suggested_by) <= names))

    return tuple(dict.fromkeys(layout.name for layout in LAYOUTS if layout.by_name and fits(layout)))
