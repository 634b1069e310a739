"""Neutral prompts for steered models: questions that chat models answer, stems that base models continue.

Beside them stand factual ones whose right answer is known.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args, overload

from emospace.errors import EmospaceError, unknown
from emospace.lexicon import base_language

if TYPE_CHECKING:
    from emospace.models import LanguageModel

Part: TypeAlias = Literal["calibration", "evaluation", "factual"]
PromptKind: TypeAlias = Literal["questions", "stems"]
"""What a model is prompted with: questions to answer, or stems, beginnings of a text that it continues."""

DATA = Path(__file__).parent.parent / "data" / "prompts"
FEWEST: dict[str, int] = {"calibration": 20, "evaluation": 40, "factual": 10}
"""Prompts below which a part is refused: an interval over fewer says little."""


class FactualPrompt(NamedTuple):
    """A question or stem, and the strings of which any one in the answer makes it right."""

    prompt: str
    answers: tuple[str, ...]


def prompt_kind(model: LanguageModel, path: Path | str | None = None) -> PromptKind:
    """Return what a model is prompted with: questions if it has a chat template, else stems.

    Parameters
    ----------
    path
        A TOML file of the user's own; if it has no stems, its prompts are given to any model as they are.

    Raises
    ------
    EmospaceError
        If the file cannot be read.
    """
    if model.tokenizer.chat_template or (path is not None and "stems" not in _read(Path(path))):
        return "questions"
    return "stems"


def prompt_languages(kind: PromptKind = "questions") -> tuple[str, ...]:
    """Return the languages that have bundled prompts of a kind."""
    return tuple(code for code, kinds in _bundled().items() if kind in kinds)


@overload
def load_prompts(
    language: str,
    part: Literal["calibration", "evaluation"],
    path: Path | str | None = None,
    kind: PromptKind = "questions",
) -> tuple[str, ...]: ...


@overload
def load_prompts(
    language: str,
    part: Literal["factual"],
    path: Path | str | None = None,
    kind: PromptKind = "questions",
) -> tuple[FactualPrompt, ...]: ...


def load_prompts(
    language: str, part: Part, path: Path | str | None = None, kind: PromptKind = "questions"
) -> tuple[str, ...] | tuple[FactualPrompt, ...]:
    """Return the prompts of one part: what doses are chosen on, what figures are reported on, or factual ones.

    Parameters
    ----------
    language
        Code of a bundled language (``zh-Hant`` is read as ``zh``).
    part
        ``calibration``, ``evaluation`` or ``factual``.
    path
        A TOML file of one's own in the format of ``data/prompts/en.toml``; its ``language`` must agree.
    kind
        As `prompt_kind` gives it for the model.

    Raises
    ------
    EmospaceError
        If the language or part is unknown, the file cannot be read or is of another language, a part holds fewer
        than `FEWEST` prompts or one twice, or a prompt stands in both calibration and evaluation.
    """
    if part not in get_args(Part):
        raise unknown("part of the prompts", part, get_args(Part))
    content, where = _section(language, path, kind)
    if part == "factual":
        factual = _factual(content.get(part, []), where)
        _check([each.prompt for each in factual], part, where)
        return factual
    prompts = _strings(content.get(part, []), f"{where}, {part}")
    _check(prompts, part, where)
    other = "evaluation" if part == "calibration" else "calibration"
    both = sorted(set(prompts) & set(_strings(content.get(other, []), f"{where}, {other}")))
    if both:
        raise EmospaceError(
            where,
            f"{len(both)} prompts stand in calibration and in evaluation, the first is {both[0]!r}",
            "Give each part prompts of its own, or the figures are of what was tuned on.",
        )
    return prompts


def load_instruction(language: str, path: Path | str | None = None, kind: PromptKind = "questions") -> str:
    """Return what the prompt-only baseline says: ``{label}`` stands for the emotion, ``{prompt}`` for the prompt.

    Without ``{prompt}`` it stands after the prompt. A file of one's own that has none takes that of its language.

    Raises
    ------
    EmospaceError
        If neither the file nor the language has one.
    """
    sections = [] if path is None else [_section(language, path, kind)]
    if kind in _bundled().get(base_language(language), ()):
        sections.append(_section(language, None, kind))
    for content, _ in sections:
        if isinstance(said := content.get("instruction"), str):
            return said
    raise EmospaceError(
        f"language '{language}'",
        f"there is no instruction for the prompt-only baseline (there are: {', '.join(prompt_languages(kind))})",
        "Give one with {label} in it: --instruction 'Answer with {label}.'",
    )


def _section(language: str, path: Path | str | None, kind: PromptKind) -> tuple[dict[str, Any], str]:
    """Return what a file has of a kind, and the name of the place."""
    code = base_language(language)
    if path is None and kind not in _bundled().get(code, ()):
        raise EmospaceError(
            f"language '{language}'",
            f"there are no prompts for it ({kind}: {', '.join(prompt_languages(kind))})",
            "Choose one of those, or give a TOML file of your own in the format of en.toml.",
        )
    source = DATA / f"{code}.toml" if path is None else Path(path)
    content = _read(source)
    stated = content.get("language", code)
    if not isinstance(stated, str) or base_language(stated) != code:
        raise EmospaceError(
            str(source),
            f"its prompts are in '{stated}', not in '{code}'",
            "Ask for that language, or name another file.",
        )
    if kind == "questions":
        return content, str(source)
    stems = content.get("stems", {})
    if not isinstance(stems, dict):
        raise EmospaceError(f"{source}, stems", "it is no table", "Write [stems] as in data/prompts/en.toml.")
    return stems, f"{source}, stems"


@cache
def _bundled() -> dict[str, tuple[PromptKind, ...]]:
    """Return the kinds of prompts of each bundled language."""
    found: dict[str, tuple[PromptKind, ...]] = {}
    for path in sorted(DATA.glob("*.toml")):
        content = _read(path)
        questions: tuple[PromptKind, ...] = ("questions",) if "evaluation" in content else ()
        found[path.stem] = (*questions, "stems") if "stems" in content else questions
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EmospaceError(
            str(path), f"it cannot be read ({error.strerror})", "Name a TOML file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EmospaceError(
            str(path), f"it is not TOML in UTF-8 ({error})", "Follow the format of data/prompts/en.toml."
        ) from error


def _strings(values: Any, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise EmospaceError(where, "it is not a list of strings", "Write it as in data/prompts/en.toml.")
    return tuple(values)


def _factual(entries: Any, where: str) -> tuple[FactualPrompt, ...]:
    questions = []
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, dict) or not isinstance(entry.get("prompt"), str):
            raise EmospaceError(
                f"{where}, factual", "an entry has no prompt", "Write [[factual]] with prompt and answers."
            )
        answers = _strings(entry.get("answers"), f"{where}, answers to {entry['prompt']!r}")
        if not answers:
            raise EmospaceError(
                f"{where}, {entry['prompt']!r}", "it has no answer", "List what counts as right."
            )
        questions.append(FactualPrompt(entry["prompt"], answers))
    return tuple(questions)


def _check(prompts: Sequence[str], part: str, where: str) -> None:
    if len(prompts) < FEWEST[part]:
        raise EmospaceError(
            f"{where}, {part}", f"it has {len(prompts)} prompts", f"Give at least {FEWEST[part]} of them."
        )
    if len(set(prompts)) < len(prompts):
        twice = next(prompt for prompt in prompts if prompts.count(prompt) > 1)
        raise EmospaceError(f"{where}, {part}", f"{twice!r} stands there twice", "List each prompt once.")
