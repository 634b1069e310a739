"""Reading what people write: a language's TOML file, a list of categories, a table, in the usual encodings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from emospace.artefacts import parse_object
from emospace.concepts.category import CATEGORIES_FILE
from emospace.concepts.sets import COLUMNS, ConceptSets, Provenance
from emospace.errors import DiskError, EmospaceError

FAMILY = r"[a-z]+(?:-[a-z]+)*"


def read_sets(path: Path) -> ConceptSets:
    """Return the concept-sets of a TOML file or of all those in a folder."""
    if not path.is_dir():
        return read_language(path)
    files = sorted(file for file in path.glob("*.toml") if file.name != CATEGORIES_FILE)
    return joined([read_language(file) for file in files], str(path))


def joined(parts: Sequence[ConceptSets], what: str) -> ConceptSets:
    """Return the concept-sets of several languages as one; `what` names them in an error."""
    import pandas as pd

    if not parts:
        raise EmospaceError(what, "no TOML file lies in it", "Put one TOML file for each language there.")
    languages = [language for part in parts for language in part.languages]
    if len(set(languages)) < len(languages) or len({part.provenance for part in parts}) > 1:
        raise EmospaceError(
            what,
            f"two files are of one language, or of different provenance ({', '.join(languages)})",
            "Keep one file for each language, and all curated or all associations.",
        )
    return ConceptSets(
        table=pd.concat([part.table for part in parts], ignore_index=True),
        labels={language: labels for part in parts for language, labels in part.labels.items()},
        carriers={language: sentences for part in parts for language, sentences in part.carriers.items()},
        feeling_carriers={
            language: sentences for part in parts for language, sentences in part.feeling_carriers.items()
        },
        provenance=parts[0].provenance,
        names={language: name for part in parts for language, name in part.names.items()},
        families={language: family for part in parts for language, family in part.families.items()},
        specific={language: glosses for part in parts for language, glosses in part.specific.items()},
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def read_language(path: Path) -> ConceptSets:
    """Return the concept-sets of one language's TOML file, its format checked and its content as it is."""
    import pandas as pd

    document = parse_object(read_text(path), path, None, "Fix that line.")
    language = document.pop("language", None)
    if not isinstance(language, str) or not re.fullmatch(r"[\w-]+", language):
        raise EmospaceError(
            str(path), "it names no language", 'Begin it with a line such as: language = "en"'
        )
    name, provenance = document.pop("name", language), document.pop("provenance", "curated")
    if provenance not in ("curated", "associations"):
        raise EmospaceError(
            str(path), f"provenance is '{provenance}'", 'Write "curated" or "associations" there.'
        )
    carriers = valid_carriers(path, document.pop("carriers", ["{word}"]))
    feeling = valid_carriers(path, document.pop("feeling_carriers", carriers))
    notes = tuple(document.pop("notes", ()))
    family, specific = document.pop("family", None), document.pop("specific", [])
    if family is not None and not (isinstance(family, str) and re.fullmatch(FAMILY, family)):
        raise EmospaceError(
            str(path),
            f"family is {family!r}",
            'Write its name in Glottolog in lower case with hyphens, for instance: family = "indo-european"',
        )
    rows: list[tuple[str, str, str, float]] = []
    labels: dict[str, tuple[str, ...]] = {}
    for category, entry in document.items():
        what = f"{path}, [{category}]"
        if not isinstance(entry, dict) or set(entry) != {"labels", "words"}:
            raise EmospaceError(
                what,
                "a category is a table with labels and words",
                'Write: labels = ["joy"], words = ["joy", "glad:0.8"]',
            )
        labels[category] = tuple(_strings(what, "labels", entry["labels"]))
        if not labels[category]:
            raise EmospaceError(what, "it has no label", "Give at least one label word.")
        rows += [
            (language, category, *_concept(what, item)) for item in _strings(what, "words", entry["words"])
        ]
    if not labels:
        raise EmospaceError(str(path), "it holds no category", "Add one, for instance [joy].")
    glosses = _specific(path, specific, {word for _, _, word, _ in rows})
    return ConceptSets(
        table=pd.DataFrame(rows, columns=list(COLUMNS)).astype({"weight": np.float64}),
        labels={language: labels},
        carriers={language: carriers},
        feeling_carriers={language: feeling},
        provenance=cast("Provenance", provenance),
        names={language: str(name)},
        notes=notes,
        families={language: family} if family else {},
        specific={language: glosses} if glosses else {},
    )


def _specific(path: Path, items: Any, words: set[str]) -> dict[str, str]:
    """Return word -> gloss of a file's specific words, each of which must be in one of its sets."""
    glosses: dict[str, str] = {}
    for item in _strings(str(path), "specific", items):
        word, _, gloss = item.partition(": ")
        word, gloss = unicodedata.normalize("NFC", word.strip()), gloss.strip()
        what = f"{path}, specific, '{item}'"
        if not word or not gloss:
            raise EmospaceError(what, "it is no word with its gloss", 'Write "word: gloss in English".')
        if word in glosses:
            raise EmospaceError(what, f"'{word}' is listed twice", "Keep one of the two.")
        if word not in words:
            raise EmospaceError(
                what,
                f"no set of the file has the word '{word}'",
                "Add it to the words of a category, or take it off the list.",
            )
        glosses[word] = gloss
    return glosses


def _concept(what: str, item: str) -> tuple[str, float]:
    word, colon, weight = item.rpartition(":")
    try:
        word, value = (word, float(weight)) if colon else (item, 1.0)
    except ValueError:
        raise EmospaceError(
            f"{what}, '{item}'", f"the weight '{weight}' is no number", "Write word or word:0.8."
        ) from None
    word = unicodedata.normalize("NFC", word.strip())
    if not word:
        raise EmospaceError(f"{what}, '{item}'", "there is no word", "Write word or word:0.8.")
    return word, value


def _strings(what: str, key: str, value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise EmospaceError(what, f"{key} is no list of strings", f'Write: {key} = ["...", "..."]')
    return list(value)


def valid_carriers(path: Path, carriers: Any) -> tuple[str, ...]:
    """Return carriers that each hold ``{word}`` once, or raise."""
    sentences = tuple(_strings(str(path), "carriers", carriers))
    if not sentences or any(sentence.count("{word}") != 1 for sentence in sentences):
        raise EmospaceError(
            str(path),
            "every carrier needs {word} once",
            'Write, for instance: carriers = ["The word is {word}"]',
        )
    return sentences


def listed(path: Path, names: Sequence[str]) -> list[str]:
    """Return the names in a text file, one a line; ``#`` begins a comment. An error says `names` could be meant."""
    if not path.exists():
        raise EmospaceError(
            f"categories '{path}'",
            f"it is neither {', '.join(names)} nor a file",
            "Use one of them, or correct the path.",
        )
    lines = (line.split("#", 1)[0].strip() for line in read_text(path).splitlines())
    return [line for line in lines if line]


def read_text(path: Path) -> str:
    """Return a file's text: UTF-8, UTF-16 with its mark, or GB18030 when it reads as Chinese."""
    try:
        content = path.read_bytes()
    except OSError as error:
        why = (
            "there is no such file" if isinstance(error, FileNotFoundError) else str(error.strerror or error)
        )
        raise DiskError(str(path), why, "Check the path.") from error
    encodings = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "gb18030")
    for encoding in encodings:
        try:
            text = content.decode(encoding).replace("\r\n", "\n")
        except UnicodeDecodeError:
            continue
        if encoding != "gb18030" or _reads_as_chinese(text):
            return text
    raise EmospaceError(str(path), "its encoding is not UTF-8", "Save it as UTF-8.")


def _reads_as_chinese(text: str) -> bool:
    # A Latin-1 letter and its neighbour also decode as one lone ideograph; Chinese words run longer.
    runs = re.findall(r"[^\x00-\x7f]+", text)
    return sum(len(run) > 1 for run in runs) > len(runs) / 2
