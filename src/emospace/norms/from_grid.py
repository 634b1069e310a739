"""From a grid of cells and what is said of it to `WordNorms`; what nobody told is an `OpenQuestion`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from emospace.errors import EmospaceError
from emospace.norms.cards import check_language
from emospace.norms.columns import written_in
from emospace.norms.direction import Anchors, check_directions, directions, turned
from emospace.norms.formats import Grid
from emospace.norms.headers import parse_header, plain
from emospace.norms.layouts import LAYOUTS
from emospace.norms.numbers import is_number
from emospace.norms.questions import OpenQuestion
from emospace.norms.rating_rows import raw_columns, read_ratings
from emospace.norms.reading import clean_word
from emospace.norms.recognising import Recognised, join_headers, recognise
from emospace.norms.scripts import NAMES, check_script, one_in_simplified
from emospace.norms.word_norms import TARGETS, WordNorms

FEWEST_WRITTEN = 10
_LEADING = re.compile(r"\s*([-−+]?\d+(?:[.,]\d+)?)\s*(?:$|[(（±])")


def recognised(grids: Iterable[Grid], card: Mapping[str, Any], what: str) -> tuple[Grid, Recognised]:
    """Return the one grid whose columns are a word and its ratings, and those columns.

    Raises
    ------
    OpenQuestion
        If no grid's are, several sheets' are, or two columns could be the same.
    """
    fitting: list[tuple[Grid, Recognised | OpenQuestion]] = []
    tried: list[Grid] = []
    for grid in grids:
        tried.append(grid)
        try:
            found: Recognised | OpenQuestion | None = recognise(
                grid.rows,
                what=what,
                said=card.get("columns"),
                layout=card.get("layout", ""),
                language=card.get("language", ""),
                script=card.get("script", ""),
            )
        except OpenQuestion as question:
            found = question
        if found is not None:
            fitting.append((grid, found))
    if not fitting:
        raise _no_columns(what, tried, card)
    if len(fitting) > 1:
        sheets = tuple(grid.sheet for grid, _ in fitting)
        raise OpenQuestion(
            what,
            f"{len(sheets)} of its sheets hold ratings: {', '.join(repr(sheet) for sheet in sheets)}",
            f"Say which with --sheet '{sheets[0]}', or sheet = \"{sheets[0]}\" in its card.",
            key="sheet",
            choices=sheets,
        )
    grid, found = fitting[0]
    if isinstance(found, OpenQuestion):
        raise found
    return grid, found


def norms_from_grid(
    grid: Grid,
    found: Recognised,
    card: Mapping[str, Any],
    *,
    name: str,
    what: str,
    anchors: Callable[[str], Anchors | None] | None = None,
) -> WordNorms:
    """Return checked norms of a recognised grid (see `load_norms`)."""
    layout = found.layout
    wanted = card.get("targets", TARGETS)
    targets = tuple(t for t in TARGETS if t in found.columns and t in wanted)
    if not targets:
        raise EmospaceError(what, f"it has no {' or '.join(wanted)} ratings", "Ask for other targets.")
    language = card.get("language") or found.language or _constant_column(grid, found, "language")
    scales = _scales(grid, found, card, targets, what)
    if not language:
        raise OpenQuestion(
            what,
            "nothing in it says which language its words are",
            f"Say so with --language de, or write language = \"de\" in '{what}.toml'.",
            key="language",
        )
    check_language(language)
    _refuse_other_language(grid, found, language, what)
    table, rejected, reading = read_ratings(grid, found, scales, targets, what, card, language)
    words = list(table["word"])
    script = card.get("script", "")
    if language == "zh":
        script = check_script(words, script, what) or layout.script or found.script
        same = {form: group for form, group in one_in_simplified(words).items() if len(group) > 1}
        reading["one_in_simplified"] = [f"{', '.join(group)} ({form})" for form, group in same.items()]
        reading["traditional_words_merged"] = _merged_by_script(grid, found)

    flipped = tuple(t for t in card.get("reversed", layout.reversed) if t in targets)
    for target in flipped:
        table[target] = turned(table[target], scales[target])
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
    norms = WordNorms(
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
            "columns": {key: found.headers[at] for key, at in found.columns.items()},
            "near": list(found.near),
            "reversed": list(flipped),
            **reading,
        },
        script=script,
    )
    told = _direction(norms, anchors, "reversed" in card, what)
    return replace(norms, reading={**norms.reading, "direction": told})


def _direction(
    norms: WordNorms, anchors: Callable[[str], Anchors | None] | None, said: bool, what: str
) -> str:
    """Return in words how the direction of the scales was checked."""
    words = anchors(norms.language) if anchors else None
    if words is None:
        why = f"no concept-sets in '{norms.language}'" if anchors else "no anchor words were given"
        return f"not checked: {why}"
    found = directions(norms, words) if said else check_directions(norms, words, what)
    told = []
    for direction in found:
        few = " (too few to tell)" if min(direction.n_high, direction.n_low) < 8 else ""
        against = " although said otherwise" if direction.reversed else ""
        told.append(
            ("looks reversed" + against + ": " if direction.reversed else "") + direction.evidence + few
        )
    return "; ".join(told) or "not checked: too few anchor words are rated"


def _scales(
    grid: Grid, found: Recognised, card: Mapping[str, Any], targets: tuple[str, ...], what: str
) -> dict[str, tuple[float, float]]:
    """Return the scale of each target: as said, as the layout has it, or as its header says."""

    def of(said: Any, target: str) -> Any:
        return said.get(target) if isinstance(said, Mapping) else said

    scales = {}
    for target in targets:
        pair = of(card.get("scale"), target)
        if pair is None and target not in found.said:
            pair = of(found.layout.scale, target)
        if pair is None:
            pair = found.scales.get(target)
        if pair is None:
            observed = _observed(grid, found, target)
            raise OpenQuestion(
                what,
                f"nothing in it says on which scale {target} was rated{observed}",
                f"Say so with scale=(lowest, highest) or --scale 1,9, or write scale = [1, 9] in '{what}.toml'; by "
                f"target: --scale {target}=1,9.",
                key=f"scale.{target}",
            )
        try:
            low, high = (float(end) for end in pair)
        except (TypeError, ValueError):
            low = high = 0.0
        if not low < high:
            raise EmospaceError(
                what, f"{pair!r} is no scale", "Give two numbers, the lowest and highest answer."
            )
        scales[target] = (low, high)
    return scales


def _observed(grid: Grid, found: Recognised, target: str) -> str:
    """Return the range of a target's ratings in words."""
    cells = raw_columns(grid, found)[target]
    values = [float(m[1].replace(",", ".").replace("−", "-")) for m in map(_LEADING.match, cells) if m]
    return f" (its ratings run from {min(values):g} to {max(values):g})" if values else ""


def _refuse_other_language(grid: Grid, found: Recognised, language: str, what: str) -> None:
    """Refuse a word column in letters of another language than the words are said to be."""
    at = found.columns["word"]
    words = [clean_word(row[at]) for row in grid.rows[found.first_row :] if at < len(row)]
    share = written_in(words, language)
    if len(words) < FEWEST_WRITTEN or share >= 0.5:
        return
    others = [
        i
        for i, header in enumerate(found.headers)
        if i != at and not parse_header(header).targets and _could_be_words(grid, found, i, language)
    ]
    named = tuple(found.headers[i] for i in others)
    mend = (
        f"Say --column word='{named[0]}'" if named else "Say another --language, or name the column of words"
    )
    raise OpenQuestion(
        what,
        f"only {share:.0%} of the words in column '{found.headers[at]}' are written as '{language}' is "
        f"({', '.join(words[:3])})",
        mend + (f" (or {', '.join(named[1:4])})." if len(named) > 1 else "."),
        key="columns.word",
        choices=named,
    )


def _could_be_words(grid: Grid, found: Recognised, at: int, language: str) -> bool:
    cells = [
        row[at].strip() for row in grid.rows[found.first_row :][:200] if at < len(row) and row[at].strip()
    ]
    text = [cell for cell in cells if not is_number(cell)]
    return len(text) > len(cells) / 2 and len(set(text)) > len(text) / 2 and written_in(text, language) >= 0.5


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
    named = "columns={'word': ..., 'valence': ..., 'arousal': ...}"
    numbers = "--column word=#1 --column valence=#2"
    return OpenQuestion(
        what,
        why,
        f"Name them with --column word=HEADER --column valence=HEADER, {named} or in a card '{what}.toml', or add a header "
        f"row; by number: {numbers}.",
        key="columns.valence" if has_word else "columns.word",
        choices=tuple(f"#{i + 1}" for i in range(len(headers))) if headless else tuple(filter(None, headers)),
    )
