"""Texts without the concept words, so that a judge cannot answer by finding them printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from emospace.judges.splitting import SPACED_WORD, is_spaceless, known_words
from emospace.lexicon import SUFFIXES, base_language, word_groups

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets

_NEVER = re.compile(r"(?!)")


def mask_concepts(texts: Sequence[str], sets: ConceptSets, language: str, mask: str = "…") -> list[str]:
    """Return texts ``[n_texts]`` in which every concept word and label of all categories is replaced.

    Inflections and simple derivations go with their word (one Snowball stem, see `emospace.lexicon.word_groups`;
    irregular forms such as "wept" do not, unless listed). A concept of several words, or with a hyphen, is replaced
    where its parts follow each other. Where the script puts no spaces, a concept of several characters is replaced
    wherever it stands, one of a single character unless it stands inside another known word.

    Raises
    ------
    EmospaceError
        If the sets do not hold the language.
    """
    concepts = _concepts(sets, language)
    spaced_words = [list(SPACED_WORD.finditer(text)) for text in texts]
    number: dict[str, int] = {part: 0 for parts in concepts.phrases for part in parts}
    number |= {match.group(): 0 for matches in spaced_words for match in matches}
    number = dict(zip(number, word_groups(tuple(number), language).tolist(), strict=True))
    phrases: dict[int, list[list[int]]] = {}
    for parts in sorted(concepts.phrases, key=len, reverse=True):
        phrases.setdefault(number[parts[0]], []).append([number[part] for part in parts])
    return [
        concepts.masked(_without_phrases(text, matches, number, phrases, mask), mask)
        for text, matches in zip(texts, spaced_words, strict=True)
    ]


class _Concepts(NamedTuple):
    """Concepts by how they are found: parts between spaces; strings; single characters beside words they are in."""

    phrases: tuple[tuple[str, ...], ...]
    strings: re.Pattern[str]
    characters: re.Pattern[str]

    def masked(self, text: str, mask: str) -> str:
        if not is_spaceless(text):
            return text
        text = self.strings.sub(lambda _: mask, text)
        return self.characters.sub(lambda match: mask if match.group(1) else match.group(), text)


@lru_cache(maxsize=16)
def _concepts(sets: ConceptSets, language: str) -> _Concepts:
    words = [*sets.words(language), *(lemma for lemmas in sets.labels[language].values() for lemma in lemmas)]
    spaceless = {
        form for word in words if is_spaceless(word) for form in (word, _without_suffix(word, language))
    }
    single = {word for word in spaceless if len(word) == 1}
    around = [word for word in known_words(language) if not single.isdisjoint(word)]
    phrases = dict.fromkeys(tuple(SPACED_WORD.findall(word)) for word in words if not is_spaceless(word))
    return _Concepts(
        tuple(phrase for phrase in phrases if phrase),
        re.compile(_alternatives(spaceless - single)),
        re.compile(f"{_alternatives(around)}|([{''.join(sorted(single))}])") if single else _NEVER,
    )


def _alternatives(words: Iterable[str]) -> str:
    """Return a pattern of any of the words, the longest that fits, tried by their first character."""
    rests: dict[str, list[str]] = {}
    for word in sorted(words, key=lambda word: (-len(word), word)):
        rests.setdefault(word[0], []).append(re.escape(word[1:]))
    return "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in rests.items()) or r"(?!)"


def _without_suffix(word: str, language: str) -> str:
    ends = SUFFIXES.get(base_language(language), ())
    return word[:-1] if len(word) > 2 and word.endswith(ends) else word


def _without_phrases(
    text: str,
    matches: Sequence[re.Match[str]],
    number: dict[str, int],
    phrases: dict[int, list[list[int]]],
    mask: str,
) -> str:
    families = [number[match.group()] for match in matches]
    kept, end, place = [], 0, 0
    while place < len(matches):
        n = next(
            (
                len(phrase)
                for phrase in phrases.get(families[place], ())
                if families[place : place + len(phrase)] == phrase
            ),
            0,
        )
        if n:
            kept += [text[end : matches[place].start()], mask]
            end = matches[place + n - 1].end()
        place += n or 1
    return "".join([*kept, text[end:]])
