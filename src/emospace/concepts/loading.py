"""From a name or a path to concept-sets: the bundled languages, a user's own files, selections of categories."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import TypeAlias, cast

from emospace.concepts.category import (
    ALL,
    BUNDLED,
    BUNDLED_CATALOGUE,
    CATEGORIES,
    CATEGORIES_FILE,
    LISTS,
    Category,
    place,
    read_catalogue,
)
from emospace.concepts.checks import FATAL, check_concepts
from emospace.concepts.files import joined, listed, read_language, read_sets, read_text
from emospace.concepts.sets import ConceptSets, folded, no_language
from emospace.errors import EmospaceError, InvalidInput, unknown

Selection: TypeAlias = str | Path | Sequence[str]


def categories(
    selection: Selection = ALL, *, extra: Sequence[str] = (), lists: Mapping[str, Sequence[str]] = LISTS
) -> tuple[Category, ...]:
    """Return the categories of a selection, in the order of ``categories.toml``, own ones last.

    Parameters
    ----------
    selection
        ``"all"`` (42), the name of a list (``"basic"``, ``"paper26"``, ``"goemotions"``), a sequence of names, a text
        file with a name a line (``#`` begins a comment), or a TOML file or folder of concept-sets (whatever it holds).
    extra
        Names known besides the bundled ones.
    lists
        Name -> categories, as `category_lists` gives them.

    Raises
    ------
    EmospaceError
        If a name is unknown, none is given, or the file is missing or unreadable.
    """
    if _holds_sets(selection):
        in_file = read_sets(Path(cast("str | Path", selection))).categories
        return categories(in_file, extra=in_file)
    by_name = {category.name: category for category in CATEGORIES}
    by_name = {name: Category(name) for name in extra} | by_name
    if selection == ALL:
        return tuple(sorted(by_name.values(), key=place))
    if isinstance(selection, str) and selection in lists:
        names = list(lists[selection])
    elif isinstance(selection, str | Path):
        names = listed(Path(selection), (ALL, *lists))
    else:
        names = list(selection)
    if not names:
        raise EmospaceError(
            f"categories {selection}",
            "no category is named",
            f"Name at least one, or use {', '.join((ALL, *lists))}.",
        )
    for name in names:
        if name not in by_name:
            raise unknown_category(name, tuple(by_name))
    return tuple(sorted((by_name[name] for name in dict.fromkeys(names)), key=place))


def unknown_category(name: str, known: Collection[str], kind: str = "category") -> InvalidInput:
    """Return the error for a name that is no category, with the category whose name or concept it is or nearly is.

    Parameters
    ----------
    name
        What was given: a word of any bundled language (``happiness``, ``felicidad``), or one misspelt in English.
    known
        The categories there are.
    kind
        What the message calls a category.
    """
    close = partial(get_close_matches, folded(name), known)
    near = close(cutoff=0.8) or _of_concept(name, known) or close(cutoff=0.6)
    return unknown(kind, name, list(known), near)


def _of_concept(name: str, known: Collection[str]) -> list[str]:
    """Return, where a word of any language or nearly one of English is a concept, the category it is most typical of."""
    import pandas as pd

    tables = [bundled(language).table for language in ("en", *bundled_languages())]
    words = {folded(word) for word in tables[0]["word"]}
    near = get_close_matches(folded(name), words, n=1, cutoff=0.8)
    for word, places in ((folded(name), tables), *((word, tables[:1]) for word in near)):
        rows = pd.concat([table[table["word"].map(folded) == word] for table in places])
        rows = rows[rows["category"].isin(known)].sort_values("weight", ascending=False, kind="stable")
        if len(rows):
            return [f"{rows['category'].iloc[0]} ('{rows['word'].iloc[0]}' is a word of it)"]
    return []


def category_lists(path: Path | str | None = None) -> Mapping[str, tuple[str, ...]]:
    """Return the lists of categories that are used by name: name -> categories, in the order of ``categories.toml``.

    Parameters
    ----------
    path
        Concept-sets, as `load_concepts` takes them; the lists of a folder's own ``categories.toml`` come last.

    Raises
    ------
    EmospaceError
        If that file cannot be read, has another format, or has a list that cannot be used.
    """
    file = None if path is None else Path(path) / CATEGORIES_FILE
    if file is None or not file.is_file():
        return LISTS
    return {**LISTS, **read_catalogue(file, read_text(file), BUNDLED_CATALOGUE).lists}


def bundled_languages() -> tuple[str, ...]:
    """Return the languages whose concept-sets come with emospace."""
    return tuple(sorted(file.stem for file in BUNDLED.glob("*.toml") if file.name != CATEGORIES_FILE))


def load_concepts(
    languages: Sequence[str] | None = None,
    selection: Selection = ALL,
    *,
    path: Path | str | None = None,
    strict: bool = True,
) -> ConceptSets:
    """Load concept-sets: the bundled ones, or those of a user's TOML file or folder of such files.

    Parameters
    ----------
    languages
        ISO 639-1 codes such as ``en``, of languages that have concept-sets; None takes all that have.
    selection
        As in `categories`. A TOML file or folder is taken as `path`, whole.
    path
        Concept-sets to use in place of the bundled ones; they may have categories of their own.
    strict
        Refuse empty sets, duplicate words and weights outside (0, 1]; `check_concepts` lists them all.

    Raises
    ------
    EmospaceError
        If a file is missing, unreadable or malformed, a language or category unknown, or a set unusable.
    """
    if path is None and _holds_sets(selection):
        path, selection = Path(cast("str | Path", selection)), ALL
    if path is None:
        available = bundled_languages()
        for language in languages or ():
            if language not in available:
                raise no_language(language, available)
        sets = joined([bundled(language) for language in dict.fromkeys(languages or available)], str(BUNDLED))
    else:
        sets = read_sets(Path(path))
    lists = category_lists(path)
    wanted = None if selection == ALL else categories(selection, extra=sets.categories, lists=lists)
    sets = sets.select(languages, None if wanted is None else [category.name for category in wanted])
    if strict:
        problems = check_concepts(sets)
        for row in problems[problems["problem"].isin(FATAL)].to_dict("records"):
            what = f"{path or 'bundled concept-sets'}: {row['language']}, category '{row['category']}'"
            raise EmospaceError(
                what + (f", word '{row['word']}'" if row["word"] else ""),
                f"{row['problem']} ({row['detail']})",
                "Fix the file; `emospace concepts check` lists every such problem.",
            )
    return sets


@cache
def bundled(language: str) -> ConceptSets:
    """Return the bundled concept-sets of one language; they are shared, so not to be changed."""
    return read_language(BUNDLED / f"{language}.toml")


def _holds_sets(selection: Selection) -> bool:
    if not isinstance(selection, str | Path):
        return False
    path = Path(selection)
    return path.suffix == ".toml" or (path.is_dir() and any(path.glob("*.toml")))
