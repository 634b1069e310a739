"""Simplified and traditional Chinese: which script words are written in, and which words are one in simplified."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from emospace.errors import EmospaceError
from emospace.norms.questions import OpenQuestion

FEWEST_TELLING = 10
MOST_OTHER = 0.2
NAMES = {"Hans": "simplified", "Hant": "traditional"}


@dataclass(frozen=True)
class ScriptCount:
    """Words with characters of one script alone; words without any say nothing."""

    simplified: tuple[str, ...]
    traditional: tuple[str, ...]

    @property
    def n(self) -> int:
        """Words that tell."""
        return len(self.simplified) + len(self.traditional)

    def other(self, script: str) -> tuple[str, ...]:
        """Return the words of the other script."""
        return self.traditional if script == "Hans" else self.simplified


@cache
def script_of(character: str) -> str:
    """Return ``Hans`` or ``Hant`` for a character of one script alone, else nothing.

    A character of Big5 (Taiwan) that GB 2312 (mainland) lacks is traditional, and the reverse.
    """
    simplified, traditional = (_encodes(character, name) for name in ("gb2312", "big5"))
    if "㐀" <= character <= "鿿" and simplified != traditional:
        return "Hans" if simplified else "Hant"
    return ""


def count_scripts(words: Sequence[str]) -> ScriptCount:
    """Return the words written in one script alone; a word with characters of both counts for both."""
    told = [(word, {script_of(c) for c in word}) for word in words]
    return ScriptCount(
        tuple(word for word, found in told if "Hans" in found),
        tuple(word for word, found in told if "Hant" in found),
    )


def check_script(words: Sequence[str], said: str, what: str) -> str:
    """Return the script Chinese words are written in: the one said, or the one they show; nothing if none shows.

    Raises
    ------
    EmospaceError
        If the words that tell are of another script than said, or, with nothing said, more than 20% are of either.
    """
    if said and said not in NAMES:
        raise EmospaceError(
            f"script '{said}'", "there is no such script", "Say Hans (simplified) or Hant (traditional)."
        )
    found = count_scripts(words)
    if found.n < FEWEST_TELLING:
        return said
    shown = "Hans" if len(found.simplified) >= len(found.traditional) else "Hant"
    other = found.other(said or shown)
    if len(other) <= MOST_OTHER * found.n:
        return said or shown
    examples = ", ".join(other[:5])
    if said:
        right = "Hant" if said == "Hans" else "Hans"
        raise EmospaceError(
            what,
            f"its words are said to be in {NAMES[said]} script, but {len(other):,} of the {found.n:,} that tell "
            f"({len(other) / found.n:.0%}) are {NAMES[right]}: {examples}",
            f'Say --script {right} or script = "{right}" in its card, or name the column of {NAMES[said]} words.',
        )
    raise OpenQuestion(
        what,
        f"its words mix simplified and traditional script: {len(found.simplified):,} are simplified "
        f"({', '.join(found.simplified[:3])}), {len(found.traditional):,} traditional ({', '.join(found.traditional[:3])})",
        "Split it, or give the column of one script with --column word=HEADER; scripts are never merged.",
        key="columns.word",
    )


def one_in_simplified(words: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the words that become the same in simplified script: simplified form -> words of the set."""
    same: dict[str, list[str]] = {}
    for word in words:
        same.setdefault(simplified(word), []).append(word)
    return {form: tuple(found) for form, found in same.items() if len(found) > 1}


def simplified(word: str) -> str:
    """Return a word with its frequent traditional characters in simplified script."""
    return word.translate(_table())


@cache
def _table() -> dict[int, str]:
    text = (files("emospace") / "data" / "norms" / "script.toml").read_text(encoding="utf-8")
    return {ord(pair[1]): pair[0] for pair in tomllib.loads(text)["pairs"].split()}


def _encodes(character: str, codec: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
