"""From a recognised grid to checked ratings: numbers, scales, duplicates, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError
from emospace.norms.averaging import averaged
from emospace.norms.cleaning import cleaned, unclean
from emospace.norms.formats import Grid
from emospace.norms.headers import parse_header, plain
from emospace.norms.mixtures import SOURCES, refuse_mixture, suspects
from emospace.norms.numbers import missing_codes, read_numbers, written_plainly
from emospace.norms.reading import clean_word
from emospace.norms.recognising import Recognised
from emospace.norms.rejecting import FORMULAS, MOST_REJECTED, Cause, no_rating, refuse_if_too_many
from emospace.norms.sections import first_section
from emospace.norms.word_norms import TARGETS, rejection_table

if TYPE_CHECKING:
    import pandas as pd

SAME = 1e-6
MEAN_AND_SD = r"\s*([-−+]?\d+(?:[.,]\d+)?)\s*(?:[(（]|±|\+/-)\s*(\d+(?:[.,]\d+)?)\s*[)）]?\s*"


def read_ratings(
    grid: Grid,
    found: Recognised,
    scales: Mapping[str, tuple[float, float]],
    targets: tuple[str, ...],
    what: str,
    card: Mapping[str, Any] | None = None,
    language: str = "",
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the checked table, the rejected rows and how the cells were read.

    Cells such as "7.52 (1.31)" are read as mean and SD. A rating that is missing (an empty cell, NA, #N/A) is unknown,
    and the row's other ratings are kept. A row is rejected for an empty word, no rating at all, a rating that is no
    number or off the scale, more cells than the header has, or a word rated twice with ratings more than 1e-6 apart
    (then both). Duplicates that agree are merged and counted.

    Parameters
    ----------
    card
        What was said of the file: ``trials``, ``duplicates``, ``clean`` and ``missing`` are read here (`Card`).
    language
        Of the words; small letters depend on it.

    Raises
    ------
    EmospaceError
        If more than 20% of the rows are rejected for what they hold, a target has no rating, or a part of the file lies
        on another scale.
    """
    import pandas as pd

    card = card or {}
    trials, codes = bool(card.get("trials")), card.get("missing", ())
    grid, sections = first_section(grid, found, what)
    raw = raw_columns(grid, found)
    if raw.empty:
        raise EmospaceError(what, "it holds a header but no ratings", "Give a file with a row for each word.")
    _refuse_uncut(raw, grid, what)
    reading: dict[str, Any] = {"notes": [sections] if sections else []}
    _clean_words(raw, card, language, reading)
    reasons = pd.Series("", index=raw.index)

    def reject(rows: pd.Series, why: pd.Series | str) -> None:
        fresh = rows & (reasons == "")
        reasons[fresh] = why[fresh] if isinstance(why, pd.Series) else why

    width = max(len(found.headers), 1)
    reject(raw["cells"] > width, "more cells than the header: " + raw["cells"].astype(str) + f" for {width}")
    marks = ~raw["word"].str.contains(r"\w", regex=True)
    reject(raw["word"] == "", "no word")
    reject(marks, "no letter in the word: '" + raw["word"] + "'")

    joined = _split_cells(raw, targets)
    commas = any(raw[t].str.fullmatch(r"\s*[-+]?\d+,\d+\s*").any() for t in targets)
    read = {target: read_numbers(raw[target], codes=codes) for target in targets}
    table = pd.DataFrame({"word": raw["word"], **{target: read[target].found for target in targets}})
    looks_missing = {target: missing_codes(table[target].tolist(), scales[target]) for target in targets}
    uncoded = table.assign(
        **{t: table[t].where(~table[t].isin([float(code) for code in looks_missing[t]])) for t in targets}
    )
    labels = _sources(grid, found)
    refuse_mixture(
        uncoded[reasons == ""],
        scales,
        raw["row"][reasons == ""],
        {k: v[reasons == ""] for k, v in labels.items()},
        what,
    )
    missing = pd.DataFrame({target: read[target].missing for target in targets})
    reject(missing.all(axis=1), no_rating(targets))
    unread = 0
    for target in targets:
        low, high = scales[target]
        cells = raw[target].str.strip()
        reject(table[target].isna() & ~missing[target], f"{target} is no number: '" + cells + "'")
        off = (table[target] < low - SAME) | (table[target] > high + SAME)
        reject(off, f"{target} off the scale {low:g} to {high:g}: " + cells)
        for column in (f"{target}_sd", f"{target}_n") if not trials else ():
            if column in raw:
                spread = read_numbers(
                    raw[column], decimal_comma=commas or column.endswith("_sd"), codes=codes
                )
                numbers = spread.found.where(spread.found >= (0 if column.endswith("_sd") else 1))
                unread += int((numbers.isna() & ~spread.missing & (reasons == "")).sum())
                if numbers.notna().any():
                    table[column] = numbers

    order = [target + suffix for target in targets for suffix in ("", "_sd", "_n")]
    table = table[["word", *(column for column in order if column in table)]]
    rows_a_word = 0.0
    averaging = trials or card.get("duplicates") == "mean"
    apart = _rated_apart(table[reasons == ""], targets)
    twice = raw["word"].isin(apart) & (reasons == "")
    if twice.any() and not averaging:
        rows_a_word = float(twice.sum()) / len(apart)
        shown = raw.loc[twice, list(targets)].apply(
            lambda row: ", ".join(f"{t} {row[t].strip()}" for t in targets), axis=1
        )
        reject(twice, "rated more than once and the ratings differ: " + shown.reindex(raw.index))

    out = reasons != ""
    rejected = rejection_table(list(zip(raw["row"][out], raw["word"][out], reasons[out], strict=True)))
    cause = Cause(
        grid.formulas,
        dict(sum(map(Counter, looks_missing.values()), Counter())),
        rows_a_word,
        any(read[target].percent for target in targets),
    )
    refuse_if_too_many(what, len(raw), rejected, cause)
    usable = reasons == ""
    _refuse_unrated(missing, usable, targets, cause, what)
    kept = table[usable]
    if trials:
        one_a_word = averaged(kept, targets)
        reading["trials"] = len(kept)
        reading["notes"].append(f"means of {len(kept):,} single ratings, by word")
    else:
        together = averaged(kept[kept["word"].isin(apart)], targets) if averaging and len(apart) else None
        one_a_word = _merged(kept, together)
        reading["averaged"] = list(apart) if together is not None else []
    order = [column for column in order if column in one_a_word]
    reading |= {
        "suspects": suspects(table[usable], scales, {k: v[usable] for k, v in labels.items()}),
        "mean_and_sd_in_one_cell": joined,
        "rows": len(raw),
        "merged": 0 if trials else len(kept) - len(one_a_word) - (int(twice.sum()) - len(apart)) * averaging,
        "blank": grid.blank,
        "unread": unread,
        "missing": _missing_counts(raw, missing, usable, targets),
        "codes": cause.codes,
        "spread_not_taken": {} if trials else _spread_not_taken(found, one_a_word, targets),
        "decimal": "," if commas else ".",
    }
    return one_a_word[["word", *order]], rejected, reading


def _refuse_uncut(raw: pd.DataFrame, grid: Grid, what: str) -> None:
    """Refuse words that hold a tab: the cells of a row were not cut apart."""
    if (raw["uncut"]).mean() > 0.5:
        raise EmospaceError(
            what,
            f"most of its words hold a tab, so that its cells are not separated by {grid.separator!r} alone",
            "Save it again with one separator throughout, or name other columns.",
        )


def _clean_words(raw: pd.DataFrame, card: Mapping[str, Any], language: str, reading: dict[str, Any]) -> None:
    """Clean the words in place where that was asked for; else say how many are not clean."""
    found = unclean(raw["word"].tolist())
    counts = {kind: len(words) for kind, words in found.items()}
    if card.get("clean"):
        raw["word"] = cleaned(raw["word"].tolist(), language)
        reading["cleaned"] = counts
    elif found:
        listed = ", ".join(f"{kind} {n:,}" for kind, n in counts.items())
        reading["notes"].append(
            f"words that are not clean ({listed}) were left as they are: --clean cleans them"
        )


def _rated_apart(table: pd.DataFrame, targets: tuple[str, ...]) -> pd.Index:
    """Return the words rated more than once with ratings that differ."""
    by_word = table.groupby("word", sort=False)[list(targets)]
    apart = ((by_word.max() - by_word.min()) > SAME).any(axis=1)
    return apart.index[apart]


def _merged(table: pd.DataFrame, together: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row a word, in the order of the file: the first known figures, or those taken together."""
    import pandas as pd

    one = table.groupby("word", sort=False).first().reset_index()
    if together is None:
        return one
    both = pd.concat([one[~one["word"].isin(together["word"])], together])
    return both.set_index("word").loc[list(one["word"])].reset_index()


def _spread_not_taken(
    found: Recognised, table: pd.DataFrame, targets: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return ``<target>_sd`` or ``<target>_n`` the table lacks -> headers of the file that may be it."""
    headers = [parse_header(header) for header in found.headers]
    lacking: dict[str, list[str]] = {}
    for column in (f"{target}{suffix}" for target in targets for suffix in ("_sd", "_n")):
        target, _, statistic = column.rpartition("_")
        if column in table:
            continue
        at = [found.columns[column]] if column in found.columns else []
        at += [
            i
            for i, header in enumerate(headers)
            if statistic in header.statistics
            and target in (header.targets or (target,))
            and not header.group
            and i not in found.columns.values()
        ]
        if at:
            lacking[column] = [found.headers[i] for i in at]
    return lacking


def _missing_counts(
    raw: pd.DataFrame, missing: pd.DataFrame, usable: pd.Series, targets: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Return target -> what stands in place of its rating in the rows that are kept -> how many cells."""
    counts = {t: Counter(raw[t][usable & missing[t]].str.strip().replace("", "empty")) for t in targets}
    return {target: dict(found) for target, found in counts.items() if found}


def _refuse_unrated(
    missing: pd.DataFrame, usable: pd.Series, targets: tuple[str, ...], cause: Cause, what: str
) -> None:
    """Refuse a file in which a target has no rating at all, or formulas stand for many of them without their values."""
    for target in targets:
        n = int(missing[target].sum())
        if cause.formulas and n > MOST_REJECTED * len(missing):
            raise EmospaceError(
                what, f"it has no {target} rating in {n:,} of {len(missing):,} rows", FORMULAS
            )
        if not (usable & ~missing[target]).any():
            others = tuple(other for other in TARGETS if other != target)
            raise EmospaceError(
                what,
                f"it has no {target} rating in any of its {len(missing):,} rows",
                f"Leave that target out with targets={others}, or name its column."
                if len(targets) > 1
                else f"Name the column of ratings with --column {target}=HEADER.",
            )


def raw_columns(grid: Grid, found: Recognised) -> pd.DataFrame:
    """Return the cells of the recognised columns as text, with each row's number and how many cells it has."""
    import pandas as pd

    rows = grid.rows[found.first_row :]
    data: dict[str, Any] = {
        key: [row[at] if at < len(row) else "" for row in rows] for key, at in found.columns.items()
    }
    raw = pd.DataFrame(data, dtype=object)
    raw["uncut"] = ["\t" in word.strip() for word in raw["word"]]
    raw["word"] = [clean_word(word) for word in raw["word"]]
    for column in set(found.columns) - {"word"}:
        raw[column] = [written_plainly(cell) for cell in raw[column]]
    raw["row"] = grid.numbers[found.first_row :]
    raw["cells"] = [max((i for i, cell in enumerate(row, 1) if cell.strip()), default=0) for row in rows]
    return raw


def _split_cells(raw: pd.DataFrame, targets: tuple[str, ...]) -> list[str]:
    """Split cells that hold mean and SD, in place; return the targets that had such cells in most rows."""
    joined = []
    for target in targets:
        parts = raw[target].str.extract(f"^{MEAN_AND_SD}$")
        both = parts[1].notna()
        if both.sum() <= 0.5 * (raw[target].str.strip() != "").sum():
            continue
        raw[target] = raw[target].where(~both, parts[0])
        if f"{target}_sd" not in raw:
            raw[f"{target}_sd"] = parts[1].where(both, "").astype(object)
        joined.append(target)
    return joined


def _sources(grid: Grid, found: Recognised) -> dict[str, pd.Series]:
    """Return the columns that say where a row is from: header -> cells, those with 2 to 50 values."""
    import pandas as pd

    rows = grid.rows[found.first_row :]
    columns = {}
    for at, header in enumerate(found.headers):
        if plain(header) in SOURCES and at not in found.columns.values():
            cells = pd.Series([row[at].strip() if at < len(row) else "" for row in rows], dtype=object)
            if 2 <= cells.nunique() <= 50:
                columns[header] = cells
    return columns
