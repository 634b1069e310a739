"""From a grid of cells and what is said of it to `WordNorms`; what nobody told is an `OpenQuestion`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from emospace.errors import EmospaceError
from emospace.norms.cards import check_language
from emospace.norms.direction import Anchors, likely_languages, turned
from emospace.norms.formats import Grid
from emospace.norms.headers import parse_header, plain
from emospace.norms.layouts import LAYOUTS, suggested
from emospace.norms.numbers import is_number, missing_codes, read_numbers
from emospace.norms.questions import OpenQuestion, joined
from emospace.norms.rating_rows import raw_columns, read_ratings
from emospace.norms.reading import clean_word
from emospace.norms.recognising import Recognised, join_headers, looks_headless, recognise
from emospace.norms.scripts import NAMES, check_script, one_in_simplified
from emospace.norms.word_checks import (
    check_direction,
    language_question,
    other_language,
    translations_of,
    words_of,
)
from emospace.norms.word_norms import TARGETS, WordNorms

_SPREAD = r"\s*(?:[(（]|±|\+/-).*"
_RATER = re.compile(
    "participant|subject|rater|respondent|worker|proband|versuchsperson|sujet|partecipante|被试|评分者|trial"
)
_RATING = re.compile("rating|response|answer|score|bewertung|urteil|note|respuesta|评分")


def recognised(grids: Iterable[Grid], card: Mapping[str, Any], what: str) -> tuple[Grid, Recognised]:
    """Return the one grid whose columns are a word and its ratings, and those columns.

    A sheet of a part of the sample is never taken by itself, nor one sheet of several that hold ratings.

    Raises
    ------
    OpenQuestion
        If no grid's are, or several sheets' are.
    """
    tried = list(grids)
    fitting: list[tuple[Grid, Recognised]] = []
    for grid in tried:
        found = recognise(
            grid.rows,
            what=what,
            said=card.get("columns"),
            layout=card.get("layout", ""),
            language=card.get("language", ""),
            script=card.get("script", ""),
            targets=card.get("targets", TARGETS),
        )
        if found is not None:
            fitting.append((grid, found))
    if not fitting:
        raise _no_columns(what, tried, card)
    parts = any(parse_header(grid.sheet).group for grid, _ in fitting)
    if "sheet" not in card and (len(fitting) > 1 or parts):
        sheets = tuple(grid.sheet for grid, _ in fitting)
        part = " (a part of the sample is never taken unless you say so)" if parts else ""
        raise OpenQuestion(
            what,
            f"{len(sheets)} of its sheets hold ratings: {', '.join(repr(sheet) for sheet in sheets)}{part}",
            f"Say which with --sheet '{sheets[0]}', or sheet = \"{sheets[0]}\" in its card.",
            key="sheet",
            choices=sheets,
        )
    return fitting[0]


def norms_from_grid(
    grid: Grid,
    found: Recognised,
    card: Mapping[str, Any],
    *,
    name: str,
    what: str,
    anchors: Callable[[str], Anchors | None] | None = None,
    settle: bool = False,
) -> WordNorms:
    """Return checked norms of a recognised grid (see `load_norms`).

    With `settle`, a direction of valence that too few words tell is asked for.
    """
    wanted = card.get("targets", TARGETS)
    targets = tuple(t for t in TARGETS if t in found.columns and t in wanted)
    if not targets:
        raise EmospaceError(what, f"it has no {' or '.join(wanted)} ratings", "Ask for other targets.")
    open_ = list(found.questions)
    scales, asked = _scales(grid, found, card, targets, what)
    open_ += asked
    words = words_of(grid, found)
    language = card.get("language") or found.language or _constant_column(grid, found, "language")
    if not language:
        open_ += [language_question(words, what)]
        language = next(iter(likely_languages(words)), "")
    elif "language" in card:
        check_language(language)
    if not any(question.key in ("language", "columns.word") for question in open_):
        open_ += other_language(grid, found, language, what, said="language" in card)
    try:
        norms = _read(grid, found, card, scales, targets, language, name=name, what=what)
        columns_known = not any(question.key.startswith("columns") for question in open_)
        told, asked = check_direction(norms, anchors, translations_of(grid, found), found, card, what, settle)
        open_ += asked if columns_known else []
    except EmospaceError as error:
        if isinstance(error, OpenQuestion):
            open_ += [error]
        if open_:
            raise joined(open_, _suggestion(found.headers, card, what)) from None
        raise
    if open_:
        raise joined(open_, "" if found.layout.name else _suggestion(found.headers, card, what))
    return replace(norms, reading={**norms.reading, "direction": told})


def _read(
    grid: Grid,
    found: Recognised,
    card: Mapping[str, Any],
    scales: Mapping[str, tuple[float, float]],
    targets: tuple[str, ...],
    language: str,
    *,
    name: str,
    what: str,
) -> WordNorms:
    """Return the norms of a grid whose columns, scales and language are known."""
    layout = found.layout
    table, rejected, reading = read_ratings(grid, found, scales, targets, what, card, language)
    words = list(table["word"])
    script = card.get("script", "")
    if language == "zh":
        script = check_script(words, script, what) or layout.script or found.script
        same = {form: group for form, group in one_in_simplified(words).items() if len(group) > 1}
        reading["one_in_simplified"] = [f"{', '.join(group)} ({form})" for form, group in same.items()]
        reading["traditional_words_merged"] = _merged_by_script(grid, found)

    falling = {*layout.reversed, *(t for t, falls in found.reversed.items() if falls)}
    falling -= {t for t, falls in found.reversed.items() if not falls}
    flipped = tuple(t for t in targets if t in card.get("reversed", falling))
    for target in flipped:
        table[target] = turned(table[target].tolist(), scales[target])
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
        notes.append(f"this copy is in {NAMES[script]} script, the published set in {NAMES[layout.script]}")
    return WordNorms(
        name=card.get("name") or layout.name or name,
        language=language,
        table=table,
        scales=scales,
        targets=targets,
        licence=card.get("licence", layout.licence),
        citation=card.get("citation", layout.citation),
        note="; ".join(filter(None, notes)),
        source=what,
        rejected=rejected,
        reading={
            "layout": layout.name or "headers",
            "verified": layout.verified or not layout.name,
            "encoding": grid.encoding,
            "separator": grid.separator,
            "sheet": grid.sheet,
            "columns": {
                key: found.headers[at]
                for key, at in found.columns.items()
                if key == "word" or key.partition("_")[0] in targets
            },
            "near": list(found.near),
            "reversed": list(flipped),
            **reading,
        },
        script=script,
    )


def _scales(
    grid: Grid, found: Recognised, card: Mapping[str, Any], targets: tuple[str, ...], what: str
) -> tuple[dict[str, tuple[float, float]], list[OpenQuestion]]:
    """Return the scale of each target: as said, as the layout has it, or as its header says; and what is open.

    A scale nobody tells is asked for; the range of the ratings stands in for it.
    """

    def of(said: Any, target: str) -> Any:
        return said.get(target) if isinstance(said, Mapping) else said

    scales, unknown = {}, {}
    for target in targets:
        pair = of(card.get("scale"), target)
        if pair is None and target not in found.said:
            pair = of(found.layout.scale, target)
        if pair is None:
            pair = found.scales.get(target)
        if pair is None:
            values, coded = _observed(grid, found, target, card.get("missing", ()))
            low, high = (min(values), max(values)) if values else (0.0, 0.0)
            told = f"; {', '.join(coded)} looks like a code for a missing answer, --missing" if coded else ""
            observed = (
                f"its ratings run from {low:g} to {high:g}{told}"
                if values
                else "none of its cells is a number"
            )
            unknown[target] = f" ({observed})"
            scales[target] = (low, high) if low < high else (low, low + 1)
            continue
        try:
            low, high = (float(end) for end in pair)
        except (TypeError, ValueError):
            low = high = 0.0
        if not low < high:
            raise EmospaceError(
                what, f"{pair!r} is no scale", "Give two numbers, the lowest and highest answer."
            )
        scales[target] = (low, high)
    if not unknown:
        return scales, []
    targets = tuple(unknown)
    question = OpenQuestion(
        what,
        "nothing in it says on which scale "
        + " and ".join(f"{target} was rated{seen}" for target, seen in unknown.items()),
        f"Say so with scale=(lowest, highest) or --scale 1,9, or write scale = [1, 9] in '{what}.toml'; by "
        f"target: --scale {targets[0]}=1,9.",
        key=f"scale.{targets[0]}" if len(targets) == 1 else "scale",
        choices=targets,
    )
    return scales, [question]


def _suggestion(headers: Sequence[str], card: Mapping[str, Any], what: str) -> str:
    """Return in words which layouts known by name the file looks like, if none was said."""
    names = () if "layout" in card else suggested(headers, what)
    flags = " or ".join(f"--layout {name}" for name in names)
    return f"It looks like {' or '.join(names)}: {flags} says all that is published of it." if names else ""


def _observed(
    grid: Grid, found: Recognised, target: str, codes: Sequence[str]
) -> tuple[list[float], Mapping[str, int]]:
    """Return the ratings of a target, whatever their scale, and what looks like a code for a missing answer."""
    cells = raw_columns(grid, found)[target].str.replace(_SPREAD, "", regex=True)
    values = read_numbers(cells, codes=codes).found.dropna().tolist()
    coded = missing_codes(values)
    return [value for value in values if f"{value:g}" not in coded], coded


def _merged_by_script(grid: Grid, found: Recognised) -> int:
    """Return how many rows share their simplified word with a row of another traditional word."""
    at = found.columns["word"]
    scripts = [parse_header(header).script for header in found.headers]
    if scripts[at] != "Hans" or "Hant" not in scripts:
        return 0
    beside = scripts.index("Hant")
    forms: dict[str, set[str]] = defaultdict(set)
    for row in grid.rows[found.first_row :]:
        if max(at, beside) < len(row):
            forms[clean_word(row[at])].add(clean_word(row[beside]))
    return sum(len(group) for group in forms.values() if len(group) > 1)


def _constant_column(grid: Grid, found: Recognised, header: str) -> str:
    """Return the one value of a column, or nothing if there is no such column or it varies."""
    names = [plain(name) for name in found.headers]
    if header not in names:
        return ""
    at = names.index(header)
    values = {row[at].strip() for row in grid.rows[found.first_row :] if at < len(row)} - {""}
    return values.pop() if len(values) == 1 else ""


def _no_columns(what: str, grids: Sequence[Grid], card: Mapping[str, Any]) -> EmospaceError:
    """Return what to say of a file whose columns nobody can tell."""
    rows = next((grid.rows for grid in grids if grid.rows), [])
    headers = next((join_headers([row]) for row in rows[:12] if sum(bool(c.strip()) for c in row) > 1), ())
    shown = ", ".join(f"'{header}'" for header in headers[:12]) + (", ..." if len(headers) > 12 else "")
    said = card.get("columns", {})
    parsed = [parse_header(header) for header in headers]
    has_word = "word" in said or any(h.word and not (h.unknown or h.targets or h.translation) for h in parsed)
    near = {
        target: [
            header for header, h in zip(headers, parsed, strict=True) if target in h.targets and not h.group
        ]
        for target in ("valence", "arousal")
    }
    headless = any(is_number(header) for header in headers if header)
    missing = "no column of valence or arousal ratings" if has_word else "no word column"
    why = f"it has {missing} that its headers or any of the {len(LAYOUTS)} layouts known tell (its columns: {shown or 'none'})"
    if headless:
        why = f"it has {missing}: its first row is data and no header ({shown})"
    if has_word and any(near.values()):
        listed = ", ".join(f"'{header}'" for headers_ in near.values() for header in headers_)
        why += f"; {listed} may be, but say more than is understood"
    if layout := card.get("layout"):
        known = next(entry for entry in LAYOUTS if entry.name == layout)
        other = known.language and card.get("language") not in (None, known.language)
        about = f"its words are '{known.language}'" if other else f"{missing.replace('no ', 'none is a ', 1)}"
        why = f"it is not laid out as {layout} ({about}; its columns: {shown or 'none'})"
    named = "columns={'word': ..., 'valence': ..., 'arousal': ...}"
    numbers = "--column word=#1 --column valence=#2"
    return OpenQuestion(
        what,
        why,
        f"Name them with --column word=HEADER --column valence=HEADER, {named} or in a card '{what}.toml', or add a header "
        f"row; by number: {numbers}.{_likely_shape(rows, headers)} {_suggestion(headers, card, what)}".strip(),
        key="columns.valence" if has_word else "columns.word",
        choices=tuple(f"#{i + 1}" for i in range(len(headers))) if headless else tuple(filter(None, headers)),
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
