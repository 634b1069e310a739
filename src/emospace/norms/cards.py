"""The recipe beside a ratings file: ``ratings.csv.toml`` says what the file does not tell."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

from emospace.artefacts import write_text
from emospace.errors import EmospaceError, unknown
from emospace.norms.headers import folded, language_names
from emospace.norms.recognising import COLUMN_KEYS
from emospace.norms.scripts import NAMES
from emospace.norms.word_norms import TARGETS


class Card(TypedDict, total=False):
    """What may be said of a ratings file: the keys of its card and the keywords of `load_norms`, each with its help."""

    language: Annotated[str, 'ISO 639-1 code of the words, as "de"']
    script: Annotated[str, 'of Chinese words: "Hans" (simplified) or "Hant" (traditional)']
    layout: Annotated[str, "a published layout by its name, where the columns do not tell it"]
    scale: Annotated[
        Mapping[str, Sequence[float]] | Sequence[float],
        "lowest and highest answer, [1, 9], or a table by target: { valence = [-3, 3], arousal = [1, 5] }",
    ]
    reversed: Annotated[
        Sequence[str], 'targets whose scale runs from high to low, ["valence"]; [] where none does'
    ]
    columns: Annotated[
        Mapping[str, str],
        'table of word, valence, valence_sd, valence_n, ... -> header, or "#3" for the third column',
    ]
    targets: Annotated[Sequence[str], 'the targets to take, ["valence"], where not all']
    encoding: Annotated[str, 'where the detected one is wrong, "cp1250"']
    sheet: Annotated[str, "of a workbook, where not the first that fits"]
    trials: Annotated[bool, "true where each row is one rating: mean, SD and n are taken by word"]
    duplicates: Annotated[
        Literal["drop", "mean"], 'of words rated twice with other ratings: "drop" them, or take their "mean"'
    ]
    missing: Annotated[Sequence[str], 'what stands for no rating, ["-99"], besides NA, #N/A and the like']
    clean: Annotated[
        bool,
        "true to take quotation marks and asterisks off words, dots and underscores for blanks, capitals",
    ]
    name: Annotated[str, "of the norms"]
    licence: Annotated[str, "of the file"]
    citation: Annotated[str, "of the paper"]
    note: Annotated[str, "anything a reader of results should know"]
    found: Annotated[
        Sequence[str], "the keys above that the import found out itself; they give way to what is said later"
    ]


CARD_KEYS: Mapping[str, str] = {
    key: hint.__metadata__[0] for key, hint in get_type_hints(Card, include_extras=True).items()
}
"""What a card may say, and how."""


FOUND_UNDER = ("language", "script", "layout", "columns", "sheet", "encoding", "trials")
"""Keys on which what an import finds out depends."""


def card_path(path: Path) -> Path:
    """Return where the card of a ratings file lies: beside it, its name with ``.toml``."""
    return path.with_name(path.name + ".toml")


def read_card(path: Path) -> dict[str, Any]:
    """Return what the card beside a ratings file says of it, or nothing.

    Raises
    ------
    EmospaceError
        If it is no TOML, or a key or its value is none a card may have.
    """
    if path.is_dir():
        return {}
    beside = card_path(path)
    try:
        said = tomllib.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EmospaceError(str(beside), f"it is no TOML ({error})", "Mend it or take it away.") from error
    return checked(said, str(beside))


def checked(said: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return what a card says, or raise `EmospaceError` where a key or a value's form is none a card may have."""
    from pydantic import ValidationError

    for key in said:
        if key not in CARD_KEYS:
            raise unknown("key in the card of a norms file", key, tuple(CARD_KEYS))
    try:
        _form()(**said)
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        raise EmospaceError(
            what, f"its {key} cannot be {said[key]!r}", f"Write {key}: {CARD_KEYS[key]}."
        ) from error
    for target in (*said.get("targets", ()), *said.get("reversed", ())):
        if target not in TARGETS:
            raise unknown("target", target, TARGETS)
    for key in said.get("columns", ()):
        if key not in COLUMN_KEYS:
            raise unknown("column", key, COLUMN_KEYS)
    if "language" in said:
        check_language(said["language"])
    if said.get("script", "Hans") not in NAMES:
        raise unknown("script", said["script"], tuple(NAMES))
    return dict(said)


@cache
def _form() -> Any:
    """Return the model that checks the form of a card's values (pydantic takes no TypedDict before Python 3.12)."""
    from pydantic import ConfigDict, create_model

    fields: Any = {key: (hint | None, None) for key, hint in get_type_hints(Card).items()}
    return create_model("Card", __config__=ConfigDict(strict=True), **fields)


def said_over(card: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card with more said over it: each key stands over the card's, columns and scales by target.

    What an import found out itself (the card's ``found``) is left out where it depends on something that is now said
    otherwise, so that it is looked for again.
    """
    card = dict(card)
    if any(key in FOUND_UNDER and card.get(key) != value for key, value in said.items()):
        card = without_found(card)
    merged = {**card, **said}
    for key in ("columns", "scale"):
        if isinstance(card.get(key), Mapping) and isinstance(said.get(key), Mapping):
            merged[key] = {**card[key], **said[key]}
    if "found" in merged:
        known = set(_dotted(said))
        merged["found"] = [
            key for key in merged["found"] if key not in known and key.split(".")[0] not in known
        ]
    return merged


def without_found(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card says without what the import found out itself."""
    kept = dict(card)
    for key in kept.get("found", ()):
        name, _, part = key.partition(".")
        if part and isinstance(kept.get(name), Mapping):
            kept[name] = {k: v for k, v in kept[name].items() if k != part}
        if not part or not kept.get(name):
            kept.pop(name, None)
    return kept


def found_in(card: Mapping[str, Any], complete: Mapping[str, Any]) -> list[str]:
    """Return the keys of a complete card that are not said in another, ``columns`` and ``scale`` by their parts."""
    said = set(_dotted(without_found(card)))
    whole = {key for key in _dotted(complete) if key.split(".")[0] in said}
    return [key for key in _dotted(complete) if key not in said | whole and key != "found"]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return in words what one card says otherwise than another."""
    keys = [key for key in CARD_KEYS if key != "found" and before.get(key) != after.get(key)]

    def shown(card: Mapping[str, Any], key: str) -> str:
        return _toml(card[key]) if key in card else "not said"

    return [f"{key}: {shown(before, key)} -> {shown(after, key)}" for key in keys]


def _dotted(card: Mapping[str, Any]) -> list[str]:
    """Return the keys of a card, those of a table as ``columns.word``."""
    keys: list[str] = []
    for key, value in card.items():
        keys += [f"{key}.{part}" for part in value] if isinstance(value, Mapping) else [key]
    return keys


def check_language(language: str) -> str:
    """Return a language code, or raise `EmospaceError` with the code that was meant."""
    if re.fullmatch(r"[a-z]{2,3}", language):
        return language
    named = language_names().get(folded(language).strip())
    start = re.match(r"([a-z]{2,3})[-_](\w+)", language.lower())
    if start and start[1] == "zh":
        script = "Hant" if start[2] in ("hant", "tw", "hk", "mo") else "Hans"
        hint = f"Say language zh and script {script}."
    else:
        meant = named or (start[1] if start else language.lower()[:2])
        hint = (
            f"Say its ISO 639-1 code, as {meant}."
            if named or start
            else "Say its ISO 639-1 code, as en, de or zh."
        )
    raise EmospaceError(f"language '{language}'", "it is no language code", hint)


def card_text(card: Mapping[str, Any]) -> str:
    """Return a card as TOML, its keys in the order of `CARD_KEYS`."""
    lines = ["# How emospace reads the ratings file beside this one; see docs/norms.md."]
    lines += [f"{key} = {_toml(card[key])}" for key in CARD_KEYS if key in card]
    return "\n".join(lines) + "\n"


def write_card(path: Path, card: Mapping[str, Any]) -> Path:
    """Write the card beside a ratings file and return where it lies."""
    beside = card_path(path)
    write_text(beside, card_text(checked(card, str(beside))))
    return beside


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f"{value:g}"
