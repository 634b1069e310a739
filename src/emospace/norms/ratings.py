"""From the columns of a table to checked ratings: numbers, duplicates, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.errors import EmospaceError
from emospace.norms.cells import cleaned, missing_codes, read_numbers, unclean, written_plainly
from emospace.norms.columns import RatingsTable
from emospace.norms.headers import parse_header, plain, source_headers
from emospace.norms.refusals import (
    Cause,
    narrower_sources,
    refuse_if_too_many,
    refuse_mixture,
    refuse_unrated,
    without_rating,
)
from emospace.norms.word_norms import rejection_table

if TYPE_CHECKING:
    import pandas as pd

MOST_SECTIONS = 50
AGAIN = 0.5
"""Share of the words of a section that came before from which it rates the same words again."""

SAME = 1e-6
MEAN_AND_SD = r"\s*([-−+]?\d+(?:[.,]\d+)?)\s*(?:[(（]|±|\+/-)\s*(\d+(?:[.,]\d+)?)\s*[)）]?\s*"


def read_ratings(
    table: RatingsTable,
    scales: Mapping[str, tuple[float, float]],
    targets: tuple[str, ...],
    card: Mapping[str, Any],
    language: str,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return the checked ratings, the rejected rows and how the cells were read.

    Cells such as "7.52 (1.31)" are read as mean and SD. A rating that is missing (an empty cell, NA, #N/A) is unknown,
    and the row's other ratings are kept. A row is rejected for an empty word, no rating at all, a rating that is no
    number or off the scale, more cells than the header has, or a word rated twice with ratings more than 1e-6 apart
    (then both). Duplicates that agree are merged and counted.

    Parameters
    ----------
    card
        ``trials``, ``duplicates``, ``clean`` and ``missing`` are read here (`Card`).
    language
        Of the words; small letters depend on it.

    Raises
    ------
    EmospaceError
        If more than 20% of the rows are rejected for what they hold, a target has no rating, or a part of the file lies
        on another scale.
    """
    import pandas as pd

    trials, codes = bool(card.get("trials")), card.get("missing", ())
    source = table.source
    table, sections = _first_section(table)
    raw = raw_columns(table)
    if raw.empty:
        raise EmospaceError(
            source, "it holds a header but no ratings", "Give a file with a row for each word."
        )
    if raw["uncut"].mean() > 0.5:
        raise EmospaceError(
            source,
            f"most of its words hold a tab, so that its cells are not separated by {table.grid.separator!r} alone",
            "Save it again with one separator throughout, or name other columns.",
        )
    reading: dict[str, Any] = {"notes": [sections] if sections else []}
    _clean_words(raw, card, language, reading)
    reasons = pd.Series("", index=raw.index)

    def reject(rows: pd.Series, why: pd.Series | str) -> None:
        fresh = rows & (reasons == "")
        reasons[fresh] = why[fresh] if isinstance(why, pd.Series) else why

    width = max(len(table.headers), 1)
    no_letter = ~raw["word"].str.contains(r"\w", regex=True)
    reject(raw["cells"] > width, "more cells than the header: " + raw["cells"].astype(str) + f" for {width}")
    reject(raw["word"] == "", "no word")
    reject(no_letter, "no letter in the word: '" + raw["word"] + "'")

    joined = _split_cells(raw, targets)
    commas = any(raw[t].str.fullmatch(r"\s*[-+]?\d+,\d+\s*").any() for t in targets)
    read = {target: read_numbers(raw[target], codes=codes) for target in targets}
    ratings = pd.DataFrame({"word": raw["word"], **{target: read[target].numbers for target in targets}})
    missing = pd.DataFrame({target: read[target].missing for target in targets})
    looks_missing = {target: missing_codes(ratings[target].tolist(), scales[target]) for target in targets}
    sources = _sources(table)
    readable = reasons == ""
    uncoded = {t: ratings[t].where(~ratings[t].isin([*map(float, looks_missing[t])])) for t in targets}
    refuse_mixture(
        ratings.assign(**uncoded)[readable],
        scales,
        raw["row"][readable],
        {header: cells[readable] for header, cells in sources.items()},
        source,
    )
    reject(missing.all(axis=1), without_rating(targets))
    unread = 0
    for target in targets:
        low, high = scales[target]
        cells = raw[target].str.strip()
        reject(ratings[target].isna() & ~missing[target], f"{target} is no number: '" + cells + "'")
        off = (ratings[target] < low - SAME) | (ratings[target] > high + SAME)
        reject(off, f"{target} off the scale {low:g} to {high:g}: " + cells)
        for suffix, least in (("_sd", 0), ("_n", 1)) if not trials else ():
            column = target + suffix
            if column in raw:
                spread = read_numbers(raw[column], decimal_comma=commas or suffix == "_sd", codes=codes)
                numbers = spread.numbers.where(spread.numbers >= least)
                unread += int((numbers.isna() & ~spread.missing & (reasons == "")).sum())
                if numbers.notna().any():
                    ratings[column] = numbers

    order = [target + suffix for target in targets for suffix in ("", "_sd", "_n")]
    ratings = ratings[["word", *(column for column in order if column in ratings)]]
    averaging = trials or card.get("duplicates") == "mean"
    apart = _rated_apart(ratings[reasons == ""], targets)
    twice = raw["word"].isin(apart) & (reasons == "")
    rows_a_word = float(twice.sum()) / len(apart) if len(apart) and not averaging else 0.0
    if rows_a_word:
        shown = raw.loc[twice, list(targets)].apply(
            lambda row: ", ".join(f"{t} {row[t].strip()}" for t in targets), axis=1
        )
        reject(twice, "rated more than once and the ratings differ: " + shown.reindex(raw.index))

    out = reasons != ""
    rejected = rejection_table(list(zip(raw["row"][out], raw["word"][out], reasons[out], strict=True)))
    cause = Cause(
        table.grid.formulas,
        dict(sum(map(Counter, looks_missing.values()), Counter())),
        rows_a_word,
        any(read[target].percent for target in targets),
    )
    refuse_if_too_many(source, len(raw), rejected, cause)
    refuse_unrated(source, missing, ~out, cause)
    kept = ratings[~out]
    by_word = _one_row_a_word(kept, apart, targets, card, reading)
    empty = {t: Counter(raw[t][~out & missing[t]].str.strip().replace("", "empty")) for t in targets}
    reading |= {
        "suspects": narrower_sources(
            kept, scales, {header: cells[~out] for header, cells in sources.items()}
        ),
        "mean_and_sd_in_one_cell": joined,
        "rows": len(raw),
        "blank": table.grid.blank,
        "unread": unread,
        "missing": {target: dict(cells) for target, cells in empty.items() if cells},
        "codes": cause.codes,
        "spread_not_taken": {} if trials else _spread_not_taken(table, by_word, targets),
        "decimal": "," if commas else ".",
    }
    return by_word[["word", *(column for column in order if column in by_word)]], rejected, reading


def _one_row_a_word(
    kept: pd.DataFrame,
    apart: pd.Index,
    targets: tuple[str, ...],
    card: Mapping[str, Any],
    reading: dict[str, Any],
) -> pd.DataFrame:
    """Return one row a word in the order of the file, and put into `reading` how rows of one word were joined.

    They give their first figures, or their means where they are trials or are rated `apart` and the card asks for means.
    """
    import pandas as pd

    if card.get("trials"):
        reading |= {"trials": len(kept), "merged": 0}
        reading["notes"].append(f"means of {len(kept):,} single ratings, by word")
        return averaged(kept, targets)
    by_word = kept.groupby("word", sort=False).first().reset_index()
    reading |= {"averaged": [], "merged": len(kept) - len(by_word)}
    if card.get("duplicates") != "mean" or apart.empty:
        return by_word
    together = kept[kept["word"].isin(apart)]
    reading["averaged"] = list(apart)
    reading["merged"] -= len(together) - len(apart)
    both = pd.concat([by_word[~by_word["word"].isin(apart)], averaged(together, targets)])
    return both.set_index("word").loc[list(by_word["word"])].reset_index()


def raw_columns(table: RatingsTable) -> pd.DataFrame:
    """Return the cells of the columns as text, with each row's number and how many cells it has."""
    import pandas as pd

    raw = pd.DataFrame({key: table.cells(at) for key, at in table.columns.items()}, dtype=object)
    for column in table.columns.keys() - {"word"}:
        raw[column] = [written_plainly(cell) for cell in raw[column]]
    raw["uncut"] = ["\t" in cell.strip() for cell in raw["word"]]
    raw["word"] = table.words
    raw["row"] = table.grid.numbers[table.first_row :]
    raw["cells"] = [
        max((i for i, cell in enumerate(row, 1) if cell.strip()), default=0) for row in table.rows
    ]
    return raw


def averaged(table: pd.DataFrame, targets: tuple[str, ...]) -> pd.DataFrame:
    """Return one row a word: the mean of its ratings on each target, their SD and their number.

    A row without SD and n counts as one rating. Rows that are means of n ratings each are weighted by n, and the SD is
    that of all ratings together: the spread within rows and between them. Where the file gives SD without n, or n of a
    row is unknown, rows count alike and SD and n are unknown.

    Parameters
    ----------
    table
        ``word``, targets and, where known, ``<target>_sd`` and ``<target>_n``; NaN where a row has no rating.
    """
    import pandas as pd

    word, words = pd.factorize(table["word"])

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(word, weights=values, minlength=len(words))

    columns: dict[str, Any] = {"word": list(words)}
    for target in targets:
        ratings = table[target].to_numpy(float)
        given_sd, given_n = f"{target}_sd" in table, f"{target}_n" in table
        sd = table[f"{target}_sd"].to_numpy(float) if given_sd else np.zeros(len(table))
        n = np.full(len(table), np.nan if given_sd else 1.0)
        n = table[f"{target}_n"].to_numpy(float) if given_n else n
        rated = np.isfinite(ratings)
        unknown = total(rated & ~np.isfinite(n)) > 0
        weight = np.where(rated, np.where(unknown[word], 1.0, n), 0.0)
        count = total(weight)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total(weight * np.where(rated, ratings, 0)) / count
            inside = np.where(rated & (weight > 1), (weight - 1) * sd**2, 0.0)
            between = np.where(rated, weight * (np.where(rated, ratings, 0) - mean[word]) ** 2, 0.0)
            spread = np.sqrt((total(inside) + total(between)) / (count - 1))
        only_means = given_n and not given_sd
        columns[target] = mean
        columns[f"{target}_sd"] = np.where(unknown | (count < 2) | only_means, np.nan, spread)
        columns[f"{target}_n"] = np.where(unknown | (count == 0), np.nan, count)
    by_word = pd.DataFrame(columns)
    return by_word[[column for column in by_word if column in targets or by_word[column].notna().any()]]


def _first_section(table: RatingsTable) -> tuple[RatingsTable, str]:
    """Return the table without the sections that rate the same words again, and in words which were passed over.

    A row of one cell, or the header once more, begins a section if at least half of the words below it came before.
    The section of the whole sample is taken, else the first; a table without sections is returned as it is.

    Raises
    ------
    EmospaceError
        If every section is of a part of the sample (men, women).
    """
    sections = _sections(table)
    if len(sections) < 2:
        return table, ""
    names = [name or "without a heading" for name, _ in sections]
    headings = [parse_header(name) for name, _ in sections]
    whole = [i for i, heading in enumerate(headings) if heading.whole]
    if not whole and all(heading.group for heading in headings):
        raise EmospaceError(
            table.source,
            f"its {len(sections)} sections rate the same words, each by a part of the sample: {', '.join(names)}",
            "Give a file of the section to use; a part is never taken for the whole.",
        )
    at = whole[0] if whole else 0
    passed = [f"'{names[i]}' ({len(rows):,} rows)" for i, (_, rows) in enumerate(sections) if i != at]
    kept = [*range(table.first_row), *(table.first_row + i for i in sections[at][1])]
    grid = table.grid
    section = replace(grid, rows=[grid.rows[i] for i in kept], numbers=[grid.numbers[i] for i in kept])
    note = f"section '{names[at]}' of the file taken, passed over: {', '.join(passed)}"
    return replace(table, grid=section), note


def _sections(table: RatingsTable) -> list[tuple[str, list[int]]]:
    """Return the heading of each section and its rows below the header, from 0; nothing where there is one only."""
    blocks: list[tuple[str, list[int]]] = [("", [])]
    for i, row in enumerate(table.rows):
        filled = [cell.strip() for cell in row if cell.strip()]
        if len(filled) == 1 and len(table.headers) > 2:
            blocks.append((filled[0], []))
        elif tuple(cell.strip() for cell in row) == table.headers:
            # The header once more belongs to the heading above it.
            blocks.append(("" if blocks[-1][1] else blocks[-1][0], []))
        else:
            blocks[-1][1].append(i)
    blocks = [(name, rows) for name, rows in blocks if rows]
    if not 1 < len(blocks) <= MOST_SECTIONS:
        return []
    sections: list[tuple[str, list[int]]] = []
    before: set[str] = set()
    for name, rows in blocks:
        block_words = {table.words[i] for i in rows}
        if not sections or len(block_words & before) >= AGAIN * len(block_words):
            sections.append((name, rows))
            before = block_words
        else:
            sections[-1][1].extend(rows)
            before |= block_words
    return sections


def _clean_words(raw: pd.DataFrame, card: Mapping[str, Any], language: str, reading: dict[str, Any]) -> None:
    """Clean the words in place where that was asked for; else note how many are not clean."""
    words = raw["word"].tolist()
    counts = {kind: len(unclean_words) for kind, unclean_words in unclean(words).items()}
    if card.get("clean"):
        raw["word"] = cleaned(words, language)
        reading["cleaned"] = counts
    elif counts:
        listed = ", ".join(f"{kind} {n:,}" for kind, n in counts.items())
        reading["notes"].append(
            f"words that are not clean ({listed}) were left as they are: --clean cleans them"
        )


def _rated_apart(ratings: pd.DataFrame, targets: tuple[str, ...]) -> pd.Index:
    """Return the words rated more than once with ratings that differ."""
    by_word = ratings.groupby("word", sort=False)[list(targets)]
    apart = ((by_word.max() - by_word.min()) > SAME).any(axis=1)
    return apart.index[apart]


def _spread_not_taken(
    table: RatingsTable, by_word: pd.DataFrame, targets: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return ``<target>_sd`` or ``<target>_n`` the ratings lack -> headers of the file that may be it."""
    lacking: dict[str, list[str]] = {}
    for target, statistic in ((target, statistic) for target in targets for statistic in ("sd", "n")):
        column = f"{target}_{statistic}"
        at = [table.columns[column]] if column in table.columns else []
        at += [
            i
            for i, header in enumerate(table.parsed)
            if statistic in header.statistics
            and target in (header.targets or (target,))
            and not header.group
            and i not in table.columns.values()
        ]
        if at and column not in by_word:
            lacking[column] = [table.headers[i] for i in at]
    return lacking


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


def _sources(table: RatingsTable) -> dict[str, pd.Series]:
    """Return the columns that say where a row is from: header -> cells, those with 2 to 50 values."""
    import pandas as pd

    columns = {}
    for at, header in enumerate(table.headers):
        if plain(header) in source_headers() and at not in table.columns.values():
            cells = pd.Series([cell.strip() for cell in table.cells(at)], dtype=object)
            if 2 <= cells.nunique() <= 50:
                columns[header] = cells
    return columns
