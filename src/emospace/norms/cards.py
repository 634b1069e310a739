"""The card beside a ratings file, ``ratings.csv.toml``: what the file leaves open, and the questions it answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

from pydantic import AfterValidator, ConfigDict, ValidationError, create_model

from emospace.artefacts import read_object, write_text
from emospace.errors import EmospaceError, unknown
from emospace.norms.headers import folded, language_names
from emospace.norms.word_norms import TARGETS

COLUMN_KEYS = ("word", *(target + suffix for target in TARGETS for suffix in ("", "_sd", "_n")))
SCRIPTS = {"Hans": "simplified", "Hant": "traditional"}


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
        hint = f"Say its ISO 639-1 code, as {named or (start[1] if start else 'en, de or zh')}."
    raise EmospaceError(f"language '{language}'", "it is no language code", hint)


def _one_of(kind: str, names: Sequence[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names:
            raise unknown(kind, name, tuple(names))
        return name

    return AfterValidator(check)


Target = Annotated[str, _one_of("target", TARGETS)]


class Card(TypedDict, total=False):
    """What may be stated about a ratings file: the keys of its card and the keywords of `load_norms`, with their help."""

    language: Annotated[str, AfterValidator(check_language), 'ISO 639-1 code of the words, as "de"']
    script: Annotated[
        str,
        _one_of("script", tuple(SCRIPTS)),
        'of Chinese words: "Hans" (simplified) or "Hant" (traditional)',
    ]
    layout: Annotated[str, "a published layout by its name, where the columns do not identify it"]
    scale: Annotated[
        Mapping[str, Sequence[float]] | Sequence[float],
        "lowest and highest answer, [1, 9], or a table by target: { valence = [-3, 3], arousal = [1, 5] }",
    ]
    reversed: Annotated[
        Sequence[Target], 'targets whose scale runs from high to low, ["valence"]; [] where none does'
    ]
    columns: Annotated[
        Mapping[Annotated[str, _one_of("column", COLUMN_KEYS)], str],
        'table of word, valence, valence_sd, valence_n, ... -> header, or "#3" for the third column',
    ]
    targets: Annotated[Sequence[Target], 'the targets to take, ["valence"], where not all']
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


_FIELDS: Mapping[str, Any] = get_type_hints(Card, include_extras=True)
CARD_KEYS: Mapping[str, str] = {key: hint.__metadata__[-1] for key, hint in _FIELDS.items()}
"""Key of a card -> what may be written there."""

FOUND_UNDER = ("language", "script", "layout", "columns", "sheet", "encoding", "trials")
"""Keys on which what an import finds out depends."""

# Pydantic reads no TypedDict before Python 3.12.
_VALUES: Any = {key: (hint, None) for key, hint in _FIELDS.items()}
_CARD = create_model("Card", __config__=ConfigDict(strict=True), **_VALUES)


class OpenQuestion(EmospaceError):
    """Something a file leaves open and nobody may guess; `emospace norms import` asks it on a terminal.

    Parameters
    ----------
    key
        Key of the card that answers it: ``language``, ``scale.valence``, ``columns.word``, ``script``,
        ``reversed``.
    choices
        Answers that fit, if there are any to choose from.
    questions
        The questions joined in this one, where it asks several (see `joined`).
    """

    def __init__(
        self,
        what: str,
        why: str,
        hint: str,
        *,
        key: str,
        choices: Sequence[str] = (),
        questions: Sequence[OpenQuestion] = (),
    ) -> None:
        super().__init__(what, why, hint)
        self.key = key
        self.choices = tuple(choices)
        self.questions = tuple(questions) or (self,)


def joined(questions: Sequence[OpenQuestion], addition: str = "") -> OpenQuestion:
    """Return several open questions as one message; its key and choices are those of the first.

    `addition` is added to what to do about them.
    """
    first = questions[0]
    why, hint = first.why, first.hint
    if len(questions) > 1:
        listed = "; ".join(f"({i}) {question.why}" for i, question in enumerate(questions, 1))
        why = f"{len(questions)} things are open: {listed}"
        hint = " ".join(f"({i}) {question.hint}" for i, question in enumerate(questions, 1))
    hint = f"{hint} {addition}".strip()
    return OpenQuestion(first.what, why, hint, key=first.key, choices=first.choices, questions=questions)


def card_path(path: Path) -> Path:
    """Return where the card of a ratings file lies: beside it, its name with ``.toml``."""
    return path.with_name(path.name + ".toml")


def read_card(path: Path) -> dict[str, Any]:
    """Return the card beside a ratings file; empty where there is none.

    Raises
    ------
    EmospaceError
        If it is not TOML, or a key or its value is none a card may have.
    """
    if path.is_dir() or not (beside := card_path(path)).exists():
        return {}
    return checked(read_object(beside, hint="Fix it or delete it."), str(beside))


def checked(card: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return a card, or raise `EmospaceError` where a key or a value's form is none a card may have."""
    for key in card:
        if key not in CARD_KEYS:
            raise unknown("key in the card of a norms file", key, tuple(CARD_KEYS))
    try:
        _CARD(**card)
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        raise EmospaceError(
            source, f"its {key} cannot be {card[key]!r}", f"Write {key}: {CARD_KEYS[key]}."
        ) from error
    return dict(card)


def merged(card: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card with what was given later: each key stands over the card's, columns and scales by target.

    What an import found out itself (the card's ``found``) is left out where it depends on something that is now given
    otherwise, so that it is looked for again.
    """
    if any(key in FOUND_UNDER and card.get(key) != value for key, value in later.items()):
        card = without_found(card)
    both = {**card, **later}
    for key in ("columns", "scale"):
        if isinstance(card.get(key), Mapping) and isinstance(later.get(key), Mapping):
            both[key] = {**card[key], **later[key]}
    if "found" in both:
        given = set(_dotted(later))
        both["found"] = [key for key in both["found"] if not {key, key.split(".")[0]} & given]
    return both


def without_found(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card without what the import found out itself."""
    kept = dict(card)
    for key in kept.get("found", ()):
        name, _, part = key.partition(".")
        if part and isinstance(kept.get(name), Mapping):
            kept[name] = {k: v for k, v in kept[name].items() if k != part}
        if not part or not kept.get(name):
            kept.pop(name, None)
    return kept


def found_in(card: Mapping[str, Any], complete: Mapping[str, Any]) -> list[str]:
    """Return the keys of a complete card that another lacks, ``columns`` and ``scale`` by their parts."""
    given = set(_dotted(without_found(card)))
    return [key for key in _dotted(complete) if not {key, key.split(".")[0]} & given and key != "found"]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return in words the keys that differ between two cards."""

    def shown(card: Mapping[str, Any], key: str) -> str:
        return toml_value(card[key]) if key in card else "not said"

    keys = [key for key in CARD_KEYS if key != "found" and before.get(key) != after.get(key)]
    return [f"{key}: {shown(before, key)} -> {shown(after, key)}" for key in keys]


def card_text(card: Mapping[str, Any]) -> str:
    """Return a card as TOML, its keys in the order of `CARD_KEYS`."""
    lines = ["# How emospace reads the ratings file beside this one; see docs/norms.md."]
    lines += [f"{key} = {toml_value(card[key])}" for key in CARD_KEYS if key in card]
    return "\n".join(lines) + "\n"


def write_card(path: Path, card: Mapping[str, Any]) -> Path:
    """Write the card beside a ratings file and return where it lies."""
    beside = card_path(path)
    write_text(beside, card_text(checked(card, str(beside))))
    return beside


def _dotted(card: Mapping[str, Any]) -> list[str]:
    """Return the keys of a card, those of a table as ``columns.word``."""
    keys: list[str] = []
    for key, value in card.items():
        keys += [f"{key}.{part}" for part in value] if isinstance(value, Mapping) else [key]
    return keys


def toml_value(value: Any) -> str:
    """Return a value as TOML: texts, numbers, lists, and tables in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return f"{value:g}"


def _key(key: str) -> str:
    """Return a key as TOML: bare where it may be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
