"""Neutral prompts for steered models: questions that chat models answer, stems that base models continue.

Beside them stand factual ones whose right answer is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emospace.artefacts import read_object
from emospace.errors import InvalidInput, unknown
from emospace.lexicon import base_language

if TYPE_CHECKING:
    from emospace.models import LanguageModel

Part: TypeAlias = Literal["calibration", "evaluation"]
PromptKind: TypeAlias = Literal["questions", "stems"]
"""What a model is prompted with: questions to answer, or stems, beginnings of a text that it continues."""

DATA = Path(__file__).parent.parent / "data" / "prompts"
FEWEST: dict[str, int] = {"calibration": 20, "evaluation": 40, "factual": 10, "factual_calibration": 10}
"""Prompts below which a part is refused: an interval over fewer says little."""

Prompt = Annotated[str, Field(pattern=r"\S")]


class FactualPrompt(BaseModel):
    """A question or stem, and the strings of which any one in the answer makes it right."""

    model_config = ConfigDict(frozen=True)

    prompt: Prompt
    answers: tuple[Prompt, ...] = Field(min_length=1)


class PromptSet(BaseModel):
    """The prompts of one kind in one language.

    `instructions` are ways to ask for an emotion in words (`worded`); `factual` is reported on,
    `factual_calibration` is what doses are chosen on.
    """

    instructions: tuple[Prompt, ...] = ()
    calibration: tuple[Prompt, ...] = ()
    evaluation: tuple[Prompt, ...] = ()
    factual: tuple[FactualPrompt, ...] = ()
    factual_calibration: tuple[FactualPrompt, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _single(cls, given: Any) -> Any:
        # Files of users may hold the one instruction there was room for before.
        if isinstance(given, dict) and "instruction" in given:
            rest = {name: value for name, value in given.items() if name != "instruction"}
            return {"instructions": (given["instruction"],), **rest}
        return given


class PromptFile(PromptSet):
    """A file in the format of ``data/prompts/en.toml``: questions, and stems for base models.

    `adjectives` says of a person what the emotion is: joy, joyful.
    """

    language: str | None = None
    adjectives: dict[str, Prompt] = Field(default_factory=dict)
    stems: PromptSet | None = None


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
    if model.tokenizer.chat_template or (path is not None and _read(Path(path)).stems is None):
        return "questions"
    return "stems"


def prompt_languages(kind: PromptKind = "questions") -> tuple[str, ...]:
    """Return the languages that have bundled prompts of a kind."""
    return tuple(code for code, kinds in _bundled().items() if kind in kinds)


def load_prompts(
    language: str, part: Part, path: Path | str | None = None, kind: PromptKind = "questions"
) -> tuple[str, ...]:
    """Return the prompts of one part: what doses are chosen on, or what figures are reported on.

    Parameters
    ----------
    language
        Code of a bundled language (``zh-Hant`` is read as ``zh``).
    part
        ``calibration`` or ``evaluation``.
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
    prompts, where = _prompts(language, path, kind)
    _check(getattr(prompts, part), part, where)
    both = sorted(set(prompts.calibration) & set(prompts.evaluation))
    if both:
        raise InvalidInput(
            where,
            f"{len(both)} prompts stand in calibration and in evaluation, the first is {both[0]!r}",
            "Give each part prompts of its own, or the figures are of what was tuned on.",
        )
    return tuple(getattr(prompts, part))


def load_factual(
    language: str,
    path: Path | str | None = None,
    kind: PromptKind = "questions",
    part: Part = "evaluation",
) -> tuple[FactualPrompt, ...]:
    """Return the prompts whose right answer is known; parameters and errors are those of `load_prompts`.

    No prompt of one part is in the other, so that a dose is not chosen by the facts that are reported.
    """
    prompts, where = _prompts(language, path, kind)
    name = "factual" if part == "evaluation" else "factual_calibration"
    asked: tuple[FactualPrompt, ...] = getattr(prompts, name)
    _check([factual.prompt for factual in asked], name, where)
    return asked


def has_factual(
    language: str, path: Path | str | None = None, kind: PromptKind = "questions", part: Part = "evaluation"
) -> bool:
    """Return whether there are factual prompts of a part, as `load_factual` reads them."""
    prompts, _ = _prompts(language, path, kind)
    return bool(prompts.factual if part == "evaluation" else prompts.factual_calibration)


def load_instructions(
    language: str, path: Path | str | None = None, kind: PromptKind = "questions"
) -> tuple[str, ...]:
    """Return the ways to ask for an emotion in words, as `worded` completes them.

    ``{label}`` stands for the emotion, ``{adjective}`` for what it makes of a person, ``{prompt}`` for the prompt;
    without that the instruction stands after the prompt. A file of one's own that has none takes those of its language.

    Raises
    ------
    EmospaceError
        If neither the file nor the language has one.
    """
    sets = [] if path is None else [_prompts(language, path, kind)[0]]
    if kind in _bundled().get(base_language(language), ()):
        sets.append(_prompts(language, None, kind)[0])
    for prompts in sets:
        if prompts.instructions:
            return prompts.instructions
    raise InvalidInput(
        f"language '{language}'",
        f"there is no instruction to ask for an emotion (there are: {', '.join(prompt_languages(kind))})",
        "Give one with {label} in it: --instruction 'Answer with {label}.'",
    )


def load_adjectives(language: str, path: Path | str | None = None) -> dict[str, str]:
    """Return emotion -> adjective, those of a file of one's own before those of its language."""
    bundled = DATA / f"{base_language(language)}.toml"
    files = [bundled] if bundled.is_file() else []
    files += [Path(path)] if path is not None else []
    return {emotion: word for file in files for emotion, word in _read(file).adjectives.items()}


def worded(
    instructions: Sequence[str], emotion: str, label: str, adjectives: Mapping[str, str]
) -> tuple[str, ...]:
    """Return what is said to ask for an emotion; instructions with an adjective are left out where there is none.

    Parameters
    ----------
    instructions
        As from `load_instructions`.
    emotion, label
        Its name, and its word in the language of the prompts.
    adjectives
        Emotion -> adjective.
    """
    return tuple(
        said.replace("{label}", label).replace("{adjective}", adjectives.get(emotion, ""))
        for said in instructions
        if "{adjective}" not in said or emotion in adjectives
    )


def _prompts(language: str, path: Path | str | None, kind: PromptKind) -> tuple[PromptSet, str]:
    """Return what a file has of a kind, and the name of the place."""
    code = base_language(language)
    if path is None and kind not in _bundled().get(code, ()):
        raise InvalidInput(
            f"language '{language}'",
            f"there are no prompts for it ({kind}: {', '.join(prompt_languages(kind))})",
            "Choose one of those, or give a TOML file of your own in the format of en.toml.",
        )
    source = DATA / f"{code}.toml" if path is None else Path(path)
    content = _read(source)
    stated = content.language or code
    if base_language(stated) != code:
        raise InvalidInput(
            str(source),
            f"its prompts are in '{stated}', not in '{code}'",
            "Ask for that language, or name another file.",
        )
    if kind == "questions":
        return content, str(source)
    return content.stems or PromptSet(), f"{source}, stems"


@cache
def _bundled() -> dict[str, tuple[PromptKind, ...]]:
    """Return the kinds of prompts of each bundled language."""
    kinds: dict[str, tuple[PromptKind, ...]] = {}
    for path in sorted(DATA.glob("*.toml")):
        content = _read(path)
        questions: tuple[PromptKind, ...] = ("questions",) if content.evaluation else ()
        kinds[path.stem] = questions if content.stems is None else (*questions, "stems")
    return kinds


def _read(path: Path) -> PromptFile:
    hint = "Follow the format of data/prompts/en.toml."
    try:
        return PromptFile.model_validate(read_object(path, hint=hint))
    except ValidationError as error:
        first = error.errors()[0]
        place = ", ".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{path}, {place}", first["msg"], hint) from error


def _check(prompts: Sequence[str], part: str, where: str) -> None:
    if len(prompts) < FEWEST[part]:
        raise InvalidInput(
            f"{where}, {part}", f"it has {len(prompts)} prompts", f"Give at least {FEWEST[part]} of them."
        )
    if len(set(prompts)) < len(prompts):
        twice = next(prompt for prompt in prompts if prompts.count(prompt) > 1)
        raise InvalidInput(f"{where}, {part}", f"{twice!r} stands there twice", "List each prompt once.")
