"""The object itself: weighted words for each language and category, and how it is written as TOML."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from emospace import artefacts
from emospace.concepts.category import Category, place
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import pandas as pd

Provenance: TypeAlias = Literal["curated", "associations"]

COLUMNS = ("language", "category", "word", "weight")


@dataclass(frozen=True, eq=False)
class ConceptSets:
    """Weighted words for each language and category.

    Parameters
    ----------
    table
        Columns language, category, word, weight; a row a concept, weight in (0, 1], 1 the most typical.
    labels
        language -> category -> label lemmas, the label first; they name the category in word norms and are
        its cues in association data. A category without any concept stands here alone.
    carriers
        language -> sentences with ``{word}`` in them.
    provenance
        ``curated`` or ``associations``.
    names
        language -> its name for people.
    feeling_carriers
        language -> sentences in which ``{word}`` is what the speaker feels; steering vectors are read there. No
        figure of a study hangs on them, so they are no part of `content_hash`.
    notes
        What an import left out, with counts.
    families
        language -> language family, by its name in Glottolog in lower case with hyphens (``indo-european``).
    specific
        language -> word -> gloss: members no other language has a plain word for. Like `families` they say
        something of the sets and change no figure, so neither is part of `content_hash`.
    """

    table: pd.DataFrame
    labels: Mapping[str, Mapping[str, tuple[str, ...]]]
    carriers: Mapping[str, tuple[str, ...]]
    provenance: Provenance
    names: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    feeling_carriers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)
    specific: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages, in the order they were loaded."""
        return tuple(self.labels)

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of all languages, in the order of ``categories.toml``, own ones last."""
        names = dict.fromkeys(name for labels in self.labels.values() for name in labels)
        return tuple(category.name for category in sorted(map(Category, names), key=place))

    def words(self, language: str, category: str | None = None) -> tuple[str, ...]:
        """Return the words of one category, or of all without repeats, in the order they are listed.

        Parameters
        ----------
        language
            One of `languages`.
        category
            One of the language's categories; None takes all of them.

        Raises
        ------
        EmospaceError
            If there is no such language, or no such category in it.
        """
        self._check(language, category)
        return tuple(self._members.get((language, category), ()))

    def weights(self, language: str, category: str) -> NDArray[np.float64]:
        """Return the weights ``[n_words]`` of a category's words, in the order of `words`; raises as that does.

        Parameters
        ----------
        language, category
            As in `words`; a weight lies in (0, 1], 1 the most typical.
        """
        self._check(language, category)
        return np.array(list(self._members.get((language, category), {}).values()), dtype=np.float64)

    def rows(self, language: str, category: str | None = None) -> pd.DataFrame:
        """Return the rows of `table` for a language, or one category of it; raises as `words` does.

        Parameters
        ----------
        language, category
            As in `words`.
        """
        self._check(language, category)
        if category is None:
            return self.table[self.table["language"] == language]
        return self.table.iloc[self._places.get((language, category), [])]

    def _check(self, language: str, category: str | None) -> None:
        if language not in self.labels:
            raise no_language(language, self.languages)
        if category is not None and category not in self.labels[language]:
            raise EmospaceError(
                f"category '{category}'",
                f"the concept-sets of '{language}' have none of that name",
                f"They have: {', '.join(self.labels[language])}.",
            )

    @cached_property
    def _places(self) -> dict[tuple[str, str], list[int]]:
        places: dict[tuple[str, str], list[int]] = {}
        for row, key in enumerate(zip(self.table["language"], self.table["category"], strict=True)):
            places.setdefault(key, []).append(row)
        return places

    @cached_property
    def _members(self) -> dict[tuple[str, str | None], dict[str, float]]:
        """(language, category), and (language, None) for all -> word -> weight where it is listed first."""
        members: dict[tuple[str, str | None], dict[str, float]] = {}
        columns = (self.table[name].tolist() for name in COLUMNS)
        for language, category, word, weight in zip(*columns, strict=True):
            members.setdefault((language, category), {}).setdefault(word, weight)
            members.setdefault((language, None), {}).setdefault(word, weight)
        return members

    def select(
        self, languages: Sequence[str] | None = None, categories: Sequence[str] | None = None
    ) -> ConceptSets:
        """Return the sets of some languages and categories only.

        Parameters
        ----------
        languages
            Languages to keep, in this order; None keeps all.
        categories
            Categories to keep, in the order they are listed in; None keeps all.

        Raises
        ------
        EmospaceError
            If a language, or a category in one of the languages, is not there.
        """
        languages = self.languages if languages is None else tuple(dict.fromkeys(languages))
        for language in languages:
            self._check(language, None)
            for category in categories or ():
                self._check(language, category)
        labels = {
            language: {
                category: lemmas
                for category, lemmas in self.labels[language].items()
                if categories is None or category in categories
            }
            for language in languages
        }
        kept = self.table["language"].isin(languages)
        if categories is not None:
            kept &= self.table["category"].isin(categories)
        return replace(
            self._with_rows(kept),
            labels=labels,
            carriers={language: self.carriers[language] for language in languages},
            feeling_carriers={
                language: sentences
                for language, sentences in self.feeling_carriers.items()
                if language in languages
            },
            names={language: self.names.get(language, language) for language in languages},
            families={
                language: family for language, family in self.families.items() if language in languages
            },
        )

    def without_shared(self) -> ConceptSets:
        """Return the sets with every word that stands in two or more of a language's sets removed from all."""
        shared = self.table.duplicated(["language", "word"], keep=False)
        return self._with_rows(~shared)

    def _with_rows(self, kept: pd.Series) -> ConceptSets:
        """Return the sets with some rows of the table, and the specific words that are left in them."""
        table = self.table[kept].reset_index(drop=True)
        left = set(zip(table["language"], table["word"], strict=True))
        specific = {
            language: {word: gloss for word, gloss in glosses.items() if (language, word) in left}
            for language, glosses in self.specific.items()
        }
        specific = {language: glosses for language, glosses in specific.items() if glosses}
        return replace(self, table=table, specific=specific)

    @property
    def content_hash(self) -> str:
        """16 hex digits of the content; the order of languages, categories, words and carriers is no part of it.

        The order of a category's label lemmas is: the first rated one stands for the category.
        """
        rows = sorted(zip(*(self.table[column].tolist() for column in COLUMNS), strict=True))
        carriers = {language: sorted(sentences) for language, sentences in self.carriers.items()}
        return artefacts.content_hash(rows, self.labels, carriers, self.provenance)

    def save(self, path: Path | str) -> None:
        """Write the sets as TOML: one language to a ``.toml`` file, any number into a folder.

        Parameters
        ----------
        path
            A file that ends in ``.toml``, for sets of one language; else a folder, which gets ``<language>.toml``.

        Raises
        ------
        EmospaceError
            If several languages are to go into one file, the folder holds other languages, or the disk
            cannot be written.
        """
        path = Path(path)
        if path.suffix == ".toml":
            if len(self.languages) != 1:
                raise EmospaceError(
                    str(path), f"a file holds one language, these are {len(self.languages)}", "Name a folder."
                )
            artefacts.write_text(path, _to_toml(self, self.languages[0]))
            return
        foreign = sorted({file.stem for file in path.glob("*.toml")} - {*self.languages, "categories"})
        if foreign:
            raise EmospaceError(
                str(path),
                f"the folder holds other concept-sets ({', '.join(foreign)})",
                "Name another folder.",
            )
        for language in self.languages:
            artefacts.write_text(path / f"{language}.toml", _to_toml(self, language))

    @staticmethod
    def load(path: Path | str) -> ConceptSets:
        """Read what `save` wrote; the same as ``load_concepts(path=path)``.

        Parameters
        ----------
        path
            The ``.toml`` file or the folder.
        """
        from emospace.concepts.loading import load_concepts

        return load_concepts(path=path)


def folded(word: str) -> str:
    """Return the form in which two spellings of one word agree: composed (NFC) and without case."""
    return unicodedata.normalize("NFC", word).casefold()


def no_language(language: str, available: Sequence[str]) -> EmospaceError:
    """Return the error for a language without concept-sets."""
    return EmospaceError(
        f"language '{language}'",
        f"there are no concept-sets for it (there are: {', '.join(available)})",
        "Choose one of those, or give a TOML file of your own in the format of en.toml.",
    )


def _to_toml(sets: ConceptSets, language: str) -> str:
    def strings(values: Sequence[str]) -> str:
        return "[" + ", ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"

    lines = [
        f"language = {json.dumps(language)}",
        f"name = {json.dumps(sets.names.get(language, language), ensure_ascii=False)}",
        f'provenance = "{sets.provenance}"',
        f"carriers = {strings(sets.carriers[language])}",
    ]
    if sets.feeling_carriers.get(language, sets.carriers[language]) != sets.carriers[language]:
        lines.append(f"feeling_carriers = {strings(sets.feeling_carriers[language])}")
    if language in sets.families:
        lines.append(f"family = {json.dumps(sets.families[language])}")
    if specific := sets.specific.get(language):
        lines.append(f"specific = {strings([f'{word}: {gloss}' for word, gloss in specific.items()])}")
    if sets.notes:
        lines.append(f"notes = {strings(sets.notes)}")
    for category, lemmas in sets.labels[language].items():
        rows = sets.rows(language, category)
        words = [
            word if weight == 1 and ":" not in word else f"{word}:{float(weight)!r}"
            for word, weight in zip(rows["word"], rows["weight"], strict=True)
        ]
        lines += ["", f"[{json.dumps(category, ensure_ascii=False)}]"]
        lines += [f"labels = {strings(lemmas)}", f"words = {strings(words)}"]
    return "\n".join(lines) + "\n"
