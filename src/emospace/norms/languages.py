"""The language and script of words, as their letters and the words everybody has (love, war) show them."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError
from emospace.norms.cards import SCRIPTS, OpenQuestion
from emospace.norms.cells import is_number

if TYPE_CHECKING:
    from emospace.norms.columns import RatingsTable

Anchors = Mapping[str, tuple[frozenset[str], frozenset[str]]]
"""Target -> words rated high wherever people were asked, and words rated low."""

FEWEST_OF_A_SCRIPT = 10
"""Words of one script alone below which a set shows no script."""

FEWEST_WRITTEN = 10
"""Words below which their letters are not compared with those of the language."""

MOST_OTHER = 0.2
_ARABIC_TO_PERSIAN = str.maketrans("يك", "یک", "\u0640")


@cache
def _characters() -> dict[str, Any]:
    return tomllib.loads((files("emospace") / "data" / "norms" / "script.toml").read_text(encoding="utf-8"))


def written_in(words: Sequence[str], language: str) -> float:
    """Return the share of words with most of their letters of the script the language is written in."""
    names = tuple(_characters()["letters"].get(language, "LATIN").split())
    fitting = [[unicodedata.name(c, "").startswith(names) for c in word if c.isalpha()] for word in words]
    fitting = [letters for letters in fitting if letters]
    return sum(2 * sum(letters) >= len(letters) for letters in fitting) / len(fitting) if fitting else 1.0


@cache
def script_of(character: str) -> str:
    """Return ``Hans`` or ``Hant`` for a character of one script alone, else nothing.

    A character of Big5 (Taiwan) that GB 2312 (mainland) lacks is traditional, and the reverse.
    """
    in_gb2312, in_big5 = (bool(character.encode(name, "ignore")) for name in ("gb2312", "big5"))
    return ("Hans" if in_gb2312 else "Hant") if "㐀" <= character <= "鿿" and in_gb2312 != in_big5 else ""


def words_by_script(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return script -> words with characters of that script alone; a word with characters of both counts for both."""
    scripts = [(word, {script_of(c) for c in word}) for word in words]
    return {script: tuple(word for word, of in scripts if script in of) for script in SCRIPTS}


def check_script(words: Sequence[str], given: str, source: str) -> str:
    """Return the script Chinese words are written in: the one given, or the one they show; nothing if none shows.

    Raises
    ------
    EmospaceError
        If the words of one script alone are of another one than given, or, with none given, more than 20% are of either.
    """
    telling = words_by_script(words)
    n = sum(map(len, telling.values()))
    if n < FEWEST_OF_A_SCRIPT:
        return given
    script = given or max(SCRIPTS, key=lambda script: len(telling[script]))
    (opposite,) = SCRIPTS.keys() - {script}
    wrong = telling[opposite]
    if len(wrong) <= MOST_OTHER * n:
        return script
    if given:
        raise EmospaceError(
            source,
            f"its words are said to be in {SCRIPTS[given]} script, but {len(wrong):,} of the {n:,} that tell "
            f"({len(wrong) / n:.0%}) are {SCRIPTS[opposite]}: {', '.join(wrong[:5])}",
            f'Say --script {opposite} or script = "{opposite}" in its card, or name the column of {SCRIPTS[given]} words.',
        )
    hans, hant = telling["Hans"], telling["Hant"]
    raise OpenQuestion(
        source,
        f"its words mix simplified and traditional script: {len(hans):,} are simplified "
        f"({', '.join(hans[:3])}), {len(hant):,} traditional ({', '.join(hant[:3])})",
        "Split it, or give the column of one script with --column word=HEADER; scripts are never merged.",
        key="columns.word",
    )


def one_in_simplified(words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the words that become the same in simplified script: simplified form -> words of the set."""
    by_form: dict[str, list[str]] = {}
    for word in words:
        by_form.setdefault(simplified(word), []).append(word)
    return {form: tuple(group) for form, group in by_form.items() if len(group) > 1}


@cache
def _to_simplified() -> dict[int, str]:
    return {ord(pair[1]): pair[0] for pair in _characters()["pairs"].split()}


def simplified(word: str) -> str:
    """Return a word with its frequent traditional characters in simplified script."""
    return word.translate(_to_simplified())


def matched(word: str) -> str:
    """Return a word as anchors are compared: without case, in simplified script, Persian letters for Arabic ones."""
    return simplified(unicodedata.normalize("NFC", word).casefold().translate(_ARABIC_TO_PERSIAN).strip())


@cache
def anchor_lists() -> Mapping[str, Anchors]:
    """Return language -> the words of ``data/norms/anchors.toml``: of valence, those rated high, those rated low."""
    text = (files("emospace") / "data" / "norms" / "anchors.toml").read_text(encoding="utf-8")

    def words(listed: str) -> frozenset[str]:
        return frozenset(map(matched, listed.split(", ")))

    return {
        language: {"valence": (words(sides["positive"]), words(sides["negative"]))}
        for language, sides in tomllib.loads(text).items()
    }


def likely_languages(words: Sequence[str]) -> dict[str, int]:
    """Return language -> how many of the words are among its bundled anchors, most first; none without any."""
    distinct = {matched(word) for word in words}
    hits = {
        language: len(distinct & frozenset.union(*anchors["valence"]))
        for language, anchors in anchor_lists().items()
    }
    return {language: n for language, n in sorted(hits.items(), key=lambda item: -item[1]) if n}


def language_question(table: RatingsTable) -> OpenQuestion:
    """Return the question for the language of words, with those they look like."""
    likely = [language for language, n in likely_languages(table.words).items() if n >= 3][:3]
    seen = f" (its words look like {' or '.join(likely)})" if likely else ""
    example = likely[0] if likely else "de"
    return OpenQuestion(
        table.source,
        f"nothing in it says which language its words are{seen}",
        f"Say so with --language {example}, or write language = \"{example}\" in '{table.source}.toml'.",
        key="language",
        choices=likely,
    )


def other_language(table: RatingsTable, language: str, *, given: bool) -> list[OpenQuestion]:
    """Return the question a word column asks that does not look like the language its words are said to be.

    Its letters are those of another script, or, where layout or headers alone name the language (it was not `given`),
    the words everybody has are those of another language.
    """
    words, at = table.words, table.columns["word"]
    hits = likely_languages(words)
    likely = next((name for name in hits if name != language), "")
    examples = ", ".join(words[:3])
    if not given and hits.get(likely, 0) >= max(4, 3 * hits.get(language, 0)):
        by = f"{table.layout.name} says" if table.layout.name else "its headers say"
        return [
            OpenQuestion(
                table.source,
                f"{by} that its words are '{language}', but they look like '{likely}' ({examples}; {hits[likely]} common "
                f"words of '{likely}', {hits.get(language, 0)} of '{language}')",
                f"Say --language {likely}, or --language {language} if they are, or name another column with --column "
                "word=HEADER.",
                key="language",
                choices=(likely, language),
            )
        ]
    share = written_in(words, language)
    if len(words) < FEWEST_WRITTEN or share >= 0.5:
        return []

    def could_be_words(column: int) -> bool:
        cells = table.sample(column)
        text = [cell for cell in cells if not is_number(cell)]
        varied = len(cells) / 2 < len(text) < 2 * len(set(text))
        return varied and written_in(text, language) >= 0.5

    named = [
        table.headers[i]
        for i, header in enumerate(table.parsed)
        if i != at and not header.targets and could_be_words(i)
    ]
    fix = (
        f"Say --column word='{named[0]}'" if named else "Say another --language, or name the column of words"
    )
    return [
        OpenQuestion(
            table.source,
            f"only {share:.0%} of the words in column '{table.headers[at]}' are written as '{language}' is ({examples})",
            fix + (f" (or {', '.join(named[1:4])})." if len(named) > 1 else "."),
            key="columns.word",
            choices=named,
        )
    ]
