"""From grids of cells and a card to `WordNorms`; what neither of them says is an `OpenQuestion`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from emospace.errors import EmospaceError
from emospace.norms.cards import SCRIPTS, OpenQuestion, joined
from emospace.norms.cells import clean_word, is_number, missing_codes, read_numbers
from emospace.norms.columns import RatingsTable
from emospace.norms.direction import AnchorsOf, check_direction, turned
from emospace.norms.grids import Grid
from emospace.norms.headers import parse_header, plain
from emospace.norms.languages import (
    check_script,
    language_question,
    likely_languages,
    one_in_simplified,
    other_language,
)
from emospace.norms.layouts import LAYOUTS, suggested
from emospace.norms.ratings import raw_columns, read_ratings
from emospace.norms.recognising import HEADER_SEARCH, join_headers, looks_headless, recognise
from emospace.norms.word_norms import TARGETS, WordNorms

Scales = dict[str, tuple[float, float]]

_SPREAD = r"\s*(?:[(（]|±|\+/-).*"
_RATER = re.compile(
    "participant|subject|rater|respondent|worker|proband|versuchsperson|sujet|partecipante|被试|评分者|trial"
)
_RATING = re.compile("rating|response|answer|score|bewertung|urteil|note|respuesta|评分")


def read_norms(
    grids: Iterable[Grid],
    card: Mapping[str, Any],
    name: str,
    source: str,
    *,
    anchors: AnchorsOf | None = None,
    settle: bool = False,
) -> WordNorms:
    """Return checked norms of the one grid whose columns are a word and its ratings (see `load_norms`).

    With `settle`, a direction of valence that too few words show is asked for.

    Raises
    ------
    OpenQuestion
        If columns, scale, language, script or direction are open; all that is open at once.
    """
    table = _table(grids, card, source)
    wanted = card.get("targets", TARGETS)
    targets = tuple(target for target in table.rated if target in wanted)
    if not targets:
        raise EmospaceError(source, f"it has no {' or '.join(wanted)} ratings", "Ask for other targets.")
    scales, open_scales = _scales(table, card, targets)
    questions = [*table.questions, *open_scales]
    language = card.get("language") or table.language or _constant_column(table, "language")
    if not language:
        questions.append(language_question(table))
        language = next(iter(likely_languages(table.words)), "")
    if not any(question.key in ("language", "columns.word") for question in questions):
        questions += other_language(table, language, given="language" in card)
    try:
        norms = _word_norms(table, card, scales, targets, language, name)
        direction, open_direction = check_direction(norms, table, card, anchors, settle)
        if not any(question.key.startswith("columns") for question in questions):
            questions += open_direction
    except EmospaceError as error:
        if isinstance(error, OpenQuestion):
            questions.append(error)
        elif not questions:
            raise
    if questions:
        raise joined(questions, "" if table.layout.name else _suggestion(table.headers, card, source))
    return replace(norms, reading={**norms.reading, "direction": direction})


def _table(grids: Iterable[Grid], card: Mapping[str, Any], source: str) -> RatingsTable:
    """Return the one grid whose columns are a word and its ratings.

    A sheet of a part of the sample is never taken by itself, nor one sheet of several that hold ratings.
    """
    tried = list(grids)
    fitting = [table for grid in tried if (table := recognise(grid, card)) is not None]
    if not fitting:
        raise _no_columns(source, tried, card)
    sheets = [table.grid.sheet for table in fitting]
    parts = any(parse_header(sheet).group for sheet in sheets)
    if "sheet" not in card and (len(fitting) > 1 or parts):
        part = " (a part of the sample is never taken unless you say so)" if parts else ""
        raise OpenQuestion(
            source,
            f"{len(sheets)} of its sheets hold ratings: {', '.join(map(repr, sheets))}{part}",
            f"Say which with --sheet '{sheets[0]}', or sheet = \"{sheets[0]}\" in its card.",
            key="sheet",
            choices=sheets,
        )
    return fitting[0]


def _word_norms(
    table: RatingsTable,
    card: Mapping[str, Any],
    scales: Scales,
    targets: tuple[str, ...],
    language: str,
    name: str,
) -> WordNorms:
    """Return the norms of a table whose columns, scales and language are known."""
    layout, grid = table.layout, table.grid
    ratings, rejected, reading = read_ratings(table, scales, targets, card, language)
    words = list(ratings["word"])
    script = card.get("script", "")
    if language == "zh":
        script = check_script(words, script, table.source) or layout.script or table.script
        same = one_in_simplified(words)
        reading["one_in_simplified"] = [f"{', '.join(group)} ({form})" for form, group in same.items()]
        reading["traditional_words_merged"] = _merged_by_script(table)
    falling = {*layout.reversed} - table.reversed.keys() | {t for t, falls in table.reversed.items() if falls}
    flipped = tuple(t for t in targets if t in card.get("reversed", falling))
    for target in flipped:
        ratings[target] = turned(ratings[target].tolist(), scales[target])
    notes = [card.get("note", layout.note), *reading.pop("notes")]
    if flipped:
        notes.append(
            f"{', '.join(flipped)} turned round: lowest plus highest answer, less the published rating"
        )
    if layout.name and not layout.verified:
        notes.append(
            "layout unverified: the published file was not seen, its scale is as the literature says"
        )
    if layout.script and script and script != layout.script:
        notes = [note for note in notes if note != layout.note]
        notes.append(
            f"this copy is in {SCRIPTS[script]} script, the published set in {SCRIPTS[layout.script]}"
        )
    return WordNorms(
        name=card.get("name") or layout.name or name,
        language=language,
        table=ratings,
        scales=scales,
        targets=targets,
        licence=card.get("licence", layout.licence),
        citation=card.get("citation", layout.citation),
        note="; ".join(filter(None, notes)),
        source=table.source,
        rejected=rejected,
        reading={
            "layout": layout.name or "headers",
            "verified": layout.verified or not layout.name,
            "encoding": grid.encoding,
            "separator": grid.separator,
            "sheet": grid.sheet,
            "columns": {
                key: table.headers[at]
                for key, at in table.columns.items()
                if key.partition("_")[0] in ("word", *targets)
            },
            "near": table.near,
            "reversed": list(flipped),
            **reading,
        },
        script=script,
    )


def _scales(
    table: RatingsTable, card: Mapping[str, Any], targets: tuple[str, ...]
) -> tuple[Scales, list[OpenQuestion]]:
    """Return the scale of each target: as given, as the layout has it, or as its header says; and what is open.

    A scale nothing names is asked for; the range of the ratings stands in for it.
    """
    scales: Scales = {}
    observed: dict[str, str] = {}
    given = card.get("scale")
    for target in targets:
        pair = given.get(target) if isinstance(given, Mapping) else given
        if pair is None and target not in table.given:
            pair = table.layout.scale_of(target)
        if pair is None:
            pair = table.scales.get(target)
        if pair is None:
            scales[target], observed[target] = _range(table, target, card.get("missing", ()))
            continue
        try:
            low, high = (float(end) for end in pair)
        except (TypeError, ValueError):
            low = high = 0.0
        if not low < high:
            raise EmospaceError(
                table.source, f"{pair!r} is no scale", "Give two numbers, the lowest and highest answer."
            )
        scales[target] = (low, high)
    if not observed:
        return scales, []
    first = next(iter(observed))
    question = OpenQuestion(
        table.source,
        "nothing in it says on which scale "
        + " and ".join(f"{target} was rated ({seen})" for target, seen in observed.items()),
        f"Say so with scale=(lowest, highest) or --scale 1,9, or write scale = [1, 9] in '{table.source}.toml'; by "
        f"target: --scale {first}=1,9.",
        key=f"scale.{first}" if len(observed) == 1 else "scale",
        choices=tuple(observed),
    )
    return scales, [question]


def _range(table: RatingsTable, target: str, codes: Sequence[str]) -> tuple[tuple[float, float], str]:
    """Return the range of the ratings of a target, and the same in words with what looks like a code for none."""
    cells = raw_columns(table)[target].str.replace(_SPREAD, "", regex=True)
    numbers = read_numbers(cells, codes=codes).numbers.dropna().tolist()
    coded = missing_codes(numbers)
    values = [value for value in numbers if f"{value:g}" not in coded]
    if not values:
        return (0.0, 1.0), "none of its cells is a number"
    low, high = min(values), max(values)
    code = f"; {', '.join(coded)} looks like a code for a missing answer, --missing" if coded else ""
    return (low, high if low < high else low + 1), f"its ratings run from {low:g} to {high:g}{code}"


def _suggestion(headers: Sequence[str], card: Mapping[str, Any], source: str) -> str:
    """Return in words which layouts known by name the file looks like, if the card names none."""
    names = () if "layout" in card else suggested(headers, source)
    flags = " or ".join(f"--layout {name}" for name in names)
    return f"It looks like {' or '.join(names)}: {flags} says all that is published of it." if names else ""


def _merged_by_script(table: RatingsTable) -> int:
    """Return how many rows share their simplified word with a row of another traditional word."""
    scripts = [header.script for header in table.parsed]
    if scripts[table.columns["word"]] != "Hans" or "Hant" not in scripts:
        return 0
    forms: dict[str, set[str]] = defaultdict(set)
    for simplified, traditional in zip(table.words, table.cells(scripts.index("Hant")), strict=True):
        forms[simplified].add(clean_word(traditional))
    return sum(len(group) for group in forms.values() if len(group) > 1)


def _constant_column(table: RatingsTable, header: str) -> str:
    """Return the one value of a column, or nothing if there is no such column or it varies."""
    names = [plain(name) for name in table.headers]
    values = {cell.strip() for cell in table.cells(names.index(header))} - {""} if header in names else set()
    return values.pop() if len(values) == 1 else ""


def _no_columns(source: str, grids: Sequence[Grid], card: Mapping[str, Any]) -> EmospaceError:
    """Return what to say of a file without columns of a word and its ratings."""
    rows = next((grid.rows for grid in grids if grid.rows), [])
    first = (row for row in rows[:HEADER_SEARCH] if sum(bool(c.strip()) for c in row) > 1)
    headers = next((join_headers([row]) for row in first), ())
    shown = ", ".join(f"'{header}'" for header in headers[:12]) + (", ..." if len(headers) > 12 else "")
    parsed = [parse_header(header) for header in headers]
    has_word = "word" in card.get("columns", {}) or any(
        h.word and not (h.unknown or h.targets or h.translation) for h in parsed
    )
    near = [
        f"'{header}'"
        for target in ("valence", "arousal")
        for header, h in zip(headers, parsed, strict=True)
        if target in h.targets and not h.group
    ]
    headless = any(map(is_number, headers))
    missing = "no column of valence or arousal ratings" if has_word else "no word column"
    if name := card.get("layout"):
        layout = next(entry for entry in LAYOUTS if entry.name == name)
        another = layout.language and card.get("language") not in (None, layout.language)
        about = f"its words are '{layout.language}'" if another else missing.replace("no ", "none is a ", 1)
        why = f"it is not laid out as {name} ({about}; its columns: {shown or 'none'})"
    else:
        why = (
            f"it has {missing}: its first row is data and no header ({shown})"
            if headless
            else f"it has {missing} that is recognised by its header or by one of the {len(LAYOUTS)} known layouts (its columns: "
            f"{shown or 'none'})"
        )
        if has_word and near:
            why += f"; {', '.join(near)} may be, but say more than is understood"
    hint = (
        "Name them with --column word=HEADER --column valence=HEADER, columns={'word': ..., 'valence': ..., 'arousal': "
        f"...}} or in a card '{source}.toml', or add a header row; by number: --column word=#1 --column valence=#2."
        f"{_likely_shape(rows, headers)} {_suggestion(headers, card, source)}"
    )
    numbers = tuple(f"#{i + 1}" for i in range(len(headers)))
    return OpenQuestion(
        source,
        why,
        hint.strip(),
        key="columns.valence" if has_word else "columns.word",
        choices=numbers if headless else tuple(filter(None, headers)),
    )


def _likely_shape(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    """Return what else to say of a file that looks like a set published without header, or like one row a rating."""
    names = sorted({layout.name for layout in LAYOUTS if looks_headless(rows, layout)})
    if names:
        return f" It looks like {' or '.join(names)}: if it is, say --layout {names[0]}."
    rated = [header for header in headers if _RATING.search(plain(header))]
    if rated and any(_RATER.search(plain(header)) for header in headers):
        return f" It seems to hold one row a rating: if it does, say --column valence='{rated[0]}' --trials."
    return ""
