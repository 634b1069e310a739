"""The emotion categories, their order and definitions, and the lists of them that are used by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from emospace.artefacts import parse_object
from emospace.errors import EmospaceError

BUNDLED = Path(__file__).parent.parent / "data" / "concepts"
CATEGORIES_FILE = "categories.toml"
ALL = "all"


@dataclass(frozen=True)
class Category:
    """An emotion category."""

    name: str
    definition: str = ""

    @property
    def basic(self) -> bool:
        """Whether it is one of the six basic emotions."""
        return self.name in LISTS["basic"]


@dataclass(frozen=True)
class Catalogue:
    """What a ``categories.toml`` declares.

    Attributes
    ----------
    categories
        In the order of the file.
    lists
        Name of a list -> names of its categories, in the order of all categories.
    """

    categories: tuple[Category, ...]
    lists: Mapping[str, tuple[str, ...]]


def read_catalogue(
    path: Path, text: str, bundled: Catalogue = Catalogue(categories=(), lists={})
) -> Catalogue:
    """Return what the text of a ``categories.toml`` declares.

    Parameters
    ----------
    path
        Named in an error.
    bundled
        Categories that lists may hold besides the file's, and lists the file may repeat and not change.

    Raises
    ------
    EmospaceError
        If it is not valid TOML, a table has fields of another format, or a list cannot be used.
    """
    document = parse_object(text, path, None, "Fix that line.")
    lists = document.pop("lists", {})
    if not isinstance(lists, dict):
        raise EmospaceError(
            f"{path}, [lists]", "it is no table", 'Write, for instance: mine = ["joy", "awe"]'
        )
    categories = tuple(_category(path, name, entry) for name, entry in document.items())
    all_names = tuple(dict.fromkeys(category.name for category in (*bundled.categories, *categories)))
    checked = {name: _list(f"{path}, list '{name}'", names, all_names) for name, names in lists.items()}
    for name, names in checked.items():
        if name == ALL or bundled.lists.get(name, names) != names:
            why = "that name stands for every category" if name == ALL else "a bundled list has that name"
            raise EmospaceError(f"{path}, list '{name}'", why, "Give the list another name.")
    return Catalogue(categories, checked)


def _category(path: Path, name: str, entry: Any) -> Category:
    what = f"{path}, [{name}]"
    if not isinstance(entry, dict):
        raise EmospaceError(what, "it is no table", 'Write the line definition = "..." below it.')
    for field, value in entry.items():
        if field != "definition":
            hint = "A category has a definition and nothing else."
            if isinstance(value, bool):
                hint = f'Delete the line. Lists of your own stand together: [lists], then mine = ["{name}"].'
            raise EmospaceError(what, f"'{field}' is no field of a category", hint)
        if not isinstance(value, str):
            raise EmospaceError(what, "its definition is no text", 'Write definition = "...".')
    return Category(name, **entry)


def _list(what: str, names: Any, all_names: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise EmospaceError(what, "it is no list of names", 'Write, for instance: mine = ["joy", "awe"]')
    for name in names:
        if name not in all_names:
            near = get_close_matches(name, all_names, n=1)
            meant = f"Did you mean {near[0]}? " if near else ""
            hint = f"{meant}A category of your own is declared by a table [{name}]."
            raise EmospaceError(what, f"'{name}' is no category", hint)
    return tuple(name for name in all_names if name in names)


_FILE = BUNDLED / CATEGORIES_FILE
BUNDLED_CATALOGUE = read_catalogue(_FILE, _FILE.read_text(encoding="utf-8"))
CATEGORIES: tuple[Category, ...] = BUNDLED_CATALOGUE.categories
LISTS: Mapping[str, tuple[str, ...]] = BUNDLED_CATALOGUE.lists
PLACES = {category.name: place for place, category in enumerate(CATEGORIES)}


def place(category: Category) -> int:
    """Return where a category stands in the order of ``categories.toml``; own ones come after all."""
    return PLACES.get(category.name, len(PLACES))
