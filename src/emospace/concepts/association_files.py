"""Word-association files: strengths of each answer to a cue, or participants' own answers, which are counted."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from emospace.artefacts import parse_json
from emospace.concepts.files import read_text
from emospace.concepts.sets import folded
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import pandas as pd

Responses: TypeAlias = Literal["R1", "R123"]
"""Which of a participant's answers to a cue count: the first, or all three."""

MISSING = frozenset({"", "NA", "No more responses", "#Missing"})
UNKNOWN = frozenset({"Unknown word", "#Unknown"})
"""What stands for an answer in participant files: none was given, or the participant did not know the cue."""

_COLUMNS = (
    *("cue", "response", "N", "RPOS", "R1", "R2", "R3", "R123"),
    *("R1.Strength", "R123.Strength", "Strength"),
)
ALIASES: Mapping[str, str] = {
    # The University of South Florida norms: answers of #P of the #G participants who were given the cue.
    "target": "response",
    "#g": "N",
    "#p": "R1",
    "fsg": "R1.Strength",
    # The first Dutch files of Small World of Words.
    "asso1": "R1",
    "asso2": "R2",
    "asso3": "R3",
    "stimulus": "cue",
}
"""Published header, case-folded -> the column it is here; a column under its name here comes first."""


@dataclass(frozen=True)
class Answers:
    """Answers to cues.

    Attributes
    ----------
    table
        Columns cue (case-folded), response, count and total, a count's share of which is the strength.
    counted
        Whether counts are numbers of answers; else they are strengths, and each total is 1.
    notes
        What was left out, and what a file without N means.
    """

    table: pd.DataFrame
    counted: bool
    notes: tuple[str, ...]


def read_answers(path: Path, responses: Responses | None = None) -> Answers:
    """Return the usable answers of a word-association file: Small World of Words, USF or EAT.

    Parameters
    ----------
    path
        One of the forms of `FORMATS`. Tables are comma-, semicolon- or tab-separated. Strengths: columns cue, response, and R123 or R1 with N (numbers of
        answers), or without (numbers of answers or shares), or R123.Strength alone. Participants: cue, R1, R2 and R3
        in one row for each participant and cue, or cue, response and RPOS in one for each answer.
    responses
        Answers that count; None takes R123 where the file has it.

    Raises
    ------
    EmospaceError
        If the file or a column is missing, or its values are neither counts nor shares.
    """
    table = _read_table(path)
    if "cue" not in table:
        raise _no_column(path, "cue", table)
    table["cue"] = table["cue"].map(folded)
    places = ("R1",) if responses == "R1" else ("R1", "R2", "R3")
    if "response" not in table and "R1" in table:
        here = [name for name in places if name in table]
        return _counted([table[["cue"]].assign(response=table[name]) for name in here], here)
    if "response" in table and "RPOS" in table:
        return _counted([table.loc[table["RPOS"] == name, ["cue", "response"]] for name in places], places)
    return _strengths(path, table, responses)


def _strengths(path: Path, table: pd.DataFrame, responses: Responses | None) -> Answers:
    """Return the answers of a file with a row for each cue and response."""
    import pandas as pd

    kinds: tuple[Responses, ...] = (responses,) if responses else ("R123", "R1")
    kind = next((k for k in kinds if k in table or f"{k}.Strength" in table), kinds[0])
    counts, share = (
        pd.to_numeric(table[name], errors="coerce") if name in table else None
        for name in (kind, f"{kind}.Strength" if f"{kind}.Strength" in table else "Strength")
    )
    totals = pd.to_numeric(table["N"], errors="coerce") if "N" in table else None
    for name in ("response", *([kind] if counts is None and share is None else [])):
        if name not in table:
            raise _no_column(path, name, table)
    notes, needed = [], f"{kind} and N" if totals is not None else kind
    if counts is not None and (counts % 1 > 0).any():
        counts, share = None, counts
    if counts is None and share is not None:
        if (share > 1).any():
            raise EmospaceError(
                str(path),
                f"its strengths are neither numbers of answers nor shares of 1 (largest: {share.max():g})",
                "Divide percentages by 100, or give R123 and N.",
            )
        if totals is not None:
            counts = (share * totals).round()
    counted = counts is not None
    if counts is None:
        counts, totals = share, share * 0 + 1 if share is not None else None
        notes.append(
            "no N: strengths are as in the file, each cue counts alike, and min_count is not applied"
        )
    elif totals is None and share is not None:
        totals = (counts / share).groupby(table["cue"]).transform("median").round()
        notes.append(f"no N: a cue's answers are reckoned from {kind} and its strengths")
    elif totals is None:
        totals = counts.groupby(table["cue"]).transform("sum")
        notes.append(f"no N: a cue's answers are the sum of its {kind}")
    answers = pd.DataFrame(
        {"cue": table["cue"], "response": table["response"], "count": counts, "total": totals}
    )
    usable = (answers["count"] > 0) & (answers["total"] > 0)
    if not usable.all():
        notes.append(f"rows without a usable {needed}: {int((~usable).sum())}")
    return Answers(answers[usable], counted, tuple(notes))


def _counted(answers: Sequence[pd.DataFrame], places: Sequence[str]) -> Answers:
    """Count participants' answers of each place; a cue's total is of the answers that were given."""
    import pandas as pd

    long = pd.concat(answers, ignore_index=True)
    missing, unknown = long["response"].isin(MISSING), long["response"].isin(UNKNOWN)
    given = long[~missing & ~unknown]
    counts = given.groupby(["cue", "response"], sort=False).size().rename("count").reset_index()
    counts["total"] = counts.groupby("cue")["count"].transform("sum")
    notes = [
        f"answers counted ({', '.join(places)}): {len(given)}",
        f"answers not given: {int(missing.sum())}",
        f"answers of participants who did not know the cue: {int(unknown.sum())}",
    ]
    return Answers(counts, True, tuple(notes))


def _read_table(path: Path) -> pd.DataFrame:
    """Return the cells as text, their columns under the names known here whatever their case."""
    text = read_text(path)
    read = next(read for looks, read in FORMATS.values() if looks.match(text))
    try:
        return read(path, text)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EmospaceError(
            str(path),
            f"it cannot be read as associations ({error})",
            "Save it as csv or tsv with a header line.",
        ) from error


def _delimited(path: Path, text: str) -> pd.DataFrame:
    """Return a table with a header line; the web pages of the USF norms are one in a preformatted block."""
    import pandas as pd

    if text.lstrip().startswith("<"):
        text = "".join(
            line for line in text.splitlines(True) if line.strip() and not line.lstrip().startswith("<")
        )
    header = text.split("\n", 1)[0]
    separator = max("\t,;", key=header.count)
    # In tab-separated files a quotation mark is as a rule part of an answer, and often unpaired.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            quoting=quoting,
            skipinitialspace=True,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise EmospaceError(
            str(path), f"it cannot be read as a table ({error})", "Save it as csv or tsv with a header line."
        ) from error
    standard = {name.casefold(): name for name in _COLUMNS}
    names = [str(name).strip(' "') for name in table.columns]
    given = {name.casefold() for name in names}
    aliases = {name: ours for name, ours in ALIASES.items() if ours.casefold() not in given}
    table.columns = pd.Index([(standard | aliases).get(name.casefold(), name) for name in names])
    table = table.loc[:, ~table.columns.duplicated()]
    return pd.DataFrame({name: cells.str.strip(' "') for name, cells in table.items()})


def _no_column(path: Path, name: str, table: pd.DataFrame) -> EmospaceError:
    return EmospaceError(
        str(path),
        f"it has no column '{name}' (its columns: {', '.join(table.columns)})",
        "Use a file of strengths (cue, response, R123, N) or of participants' answers (cue, R1, R2, R3).",
    )


def _thesaurus_json(_path: Path, text: str) -> pd.DataFrame:
    """Return the Edinburgh Associative Thesaurus as JSON: cue -> a list of ``{answer: number of answers}``."""
    import pandas as pd

    cues = parse_json(text).items()
    rows = [(cue, word, n) for cue, answers in cues for given in answers for word, n in given.items()]
    return pd.DataFrame(rows, columns=["cue", "response", "R1"], dtype=str)


def _thesaurus_xml(_path: Path, text: str) -> pd.DataFrame:
    """Return the Edinburgh Associative Thesaurus or the USF norms as XML: answers within each cue, counts as attributes."""
    import pandas as pd

    rows, cue, total = [], "", ""
    # Elements are flat and hold attributes alone: no parser that follows entities is needed.
    for name, attributes in re.findall(r"<(stimulus|cue|response|target)\b([^<>]*)>", text):
        values = {
            key: html.unescape(value)
            for key, value in re.findall(r'\b(\w{1,20})\s{0,3}=\s{0,3}"([^"]*)"', attributes)
        }
        if name in ("stimulus", "cue"):
            cue, total = values["word"], values.get("all", "")
        else:
            rows.append((cue, values["word"], values.get("n", values.get("p")), values.get("g", total)))
    table = pd.DataFrame(rows, columns=["cue", "response", "R1", "N"], dtype=str)
    return table if table["N"].any() else table.drop(columns="N")


FORMATS: Mapping[str, tuple[re.Pattern[str], Callable[[Path, str], pd.DataFrame]]] = {
    "EAT, JSON": (re.compile(r"\s*\{"), _thesaurus_json),
    "EAT or USF, XML": (re.compile(r"(?s)\s*<.{0,2000}?<(stimulus|cue)\s"), _thesaurus_xml),
    "table": (re.compile(""), _delimited),
}
"""Form -> what its text begins with and what reads it, the first that fits. A table may be of Small World of Words (strengths,
or participants' answers), of the USF norms, or any with a cue and an answer in each row."""
