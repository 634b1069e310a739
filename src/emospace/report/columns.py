"""Tables of a page, declared column by column: a name, the field it shows, and how that is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emospace.display import Get, get_value
from emospace.records import grouped
from emospace.report.blocks import Cell, Table
from emospace.report.texts import fill
from emospace.report.wording import DASH, count, figure, interval, language_name, number, p_value, percent


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    get
        What it shows: numbers are sorted by value. A `Cell` is taken as it is; None is written as a dash.
    write
        Makes the text of a value.
    numeric, wrap
        Set flush right; wrapped as free text.
    note, lang
        What hovering shows, and the language of the text.
    """

    name: str
    get: Get
    write: Callable[[Any], str] = str
    numeric: bool = False
    wrap: bool = False
    note: Get | None = None
    lang: Get | None = None

    def cell(self, row: Any) -> Cell:
        """Return the cell of a row."""
        value = get_value(row, self.get)
        if isinstance(value, Cell):
            return value
        shown = DASH if value is None or value == "" else self.write(value)
        note, lang = (None if get is None else get_value(row, get) for get in (self.note, self.lang))
        return Cell(shown, value if isinstance(value, int | float) else None, lang, note)


def language_column(name: str = "Language", get: Get = "language") -> Column:
    """Return a column of languages, by name."""
    return Column(name, get, lambda code: language_name(str(code)))


def score(name: str, get: Get, note: Get | None = None, digits: int = 2) -> Column:
    """Return a column of correlations, rates or shares: ``.78``."""
    return Column(name, get, lambda value: figure(value, digits), numeric=True, note=note)


def plain(name: str, get: Get, note: Get | None = None, digits: int = 2) -> Column:
    """Return a column of plain numbers: ``1.50``."""
    return Column(name, get, lambda value: number(value, digits), numeric=True, note=note)


def counts(name: str, get: Get, note: Get | None = None) -> Column:
    """Return a column of counts: ``13,915``."""
    return Column(name, get, count, numeric=True, note=note)


def p(name: str, get: Get) -> Column:
    """Return a column of p values."""
    return Column(name, get, p_value, numeric=True)


def shares(name: str, get: Get) -> Column:
    """Return a column of percentages."""
    return Column(name, get, percent, numeric=True)


def ci(low: Get = "ci_low", high: Get = "ci_high", name: str = "95% CI") -> Column:
    """Return a column of intervals, given by the fields of their bounds."""
    return Column(name, lambda row: interval(get_value(row, low), get_value(row, high)))


def of_first(get: Get) -> Callable[[Mapping[str, Any]], Any]:
    """Return what gives a value of the first record of a row of `cross_tabulated`: all of them share it."""
    return lambda row: get_value(next(iter(row.values())), get)


def of_named(name: str, get: Get) -> Callable[[Mapping[str, Any]], Any]:
    """Return what gives a value of one record of a row of `cross_tabulated`, None where the row lacks it."""
    return lambda row: get_value(row[name], get) if row.get(name) else None


def build(
    key: str,
    columns: Iterable[Column | None],
    rows: Iterable[Any],
    *,
    text: str = "",
    more_than: int = 0,
    searched: bool = True,
    strong: Callable[[Any], bool] | None = None,
    brief: Sequence[bool] = (),
    **values: object,
) -> Table:
    """Return a table of rows; columns that are None are left out.

    Parameters
    ----------
    text
        The table's name in ``texts.toml``; `key` unless given.
    more_than, searched
        Tables of more rows than this have a filter, if it is wanted and has a label.
    strong, brief
        Which rows stand out; per row, whether print keeps it.
    values
        What the templates of the texts are filled with.
    """
    shown, rows = [column for column in columns if column], list(rows)
    words = fill(text or key, **values)
    return Table(
        key,
        words["caption"],
        [column.name for column in shown],
        [tuple(column.cell(row) for column in shown) for row in rows],
        numeric=[column.name for column in shown if column.numeric],
        wrap=[column.name for column in shown if column.wrap],
        heading=words.get("heading", ""),
        search=words.get("search", "") if searched and len(rows) > more_than else "",
        strong=[strong(row) for row in rows] if strong else (),
        brief=brief,
    )


Gap = tuple[str, str | None, str]
"""What is not given, in which language, and why."""


def together(gaps: Iterable[tuple[str, str | None, str, str]]) -> list[Gap]:
    """Return gaps of one figure, language and reason as one, with the names (fourth of each) of what it is of."""
    groups = grouped(gaps, lambda gap: gap[:3])
    names = {gap: list(dict.fromkeys(filter(None, (row[3] for row in rows)))) for gap, rows in groups.items()}
    return [
        (f"{what}: {', '.join(names[what, where, why])}" if names[what, where, why] else what, where, why)
        for what, where, why in groups
    ]


def gaps_table(rows: Iterable[Gap], **options: Any) -> Table:
    """Return the figures that are not given, each once."""
    return build(
        "table-missing",
        (
            Column("Figure", lambda gap: gap[0], wrap=True),
            language_column(get=lambda gap: gap[1]),
            Column("Reason", lambda gap: Cell(gap[2]), wrap=True),
        ),
        dict.fromkeys(rows),
        **options,
    )
