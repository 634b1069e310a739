"""A conversation as a model reads it: in its chat template, or one text below the other where it has none."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from inspect import signature
from typing import Any

from emospace.errors import EmospaceError, first_line

log = logging.getLogger(__name__)

Turns = Sequence[Mapping[str, str]]
"""Turns of a conversation, each with ``role`` (system, user, assistant) and ``content``."""


def turns_of(prompt: str, system: str | None = None) -> Turns:
    """Return the turns of one prompt, after a system prompt where there is one."""
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": prompt}]


def render_turns(tokenizer: Any, turns: Turns, template_args: Mapping[str, Any]) -> str:
    """Return a conversation as text, ready for the model's answer.

    A system prompt stands before the first user turn where the template refuses or drops it, and before all else
    where there is no template.

    Parameters
    ----------
    template_args
        What the chat template reads beside the turns, such as ``enable_thinking``.

    Raises
    ------
    EmospaceError
        If the template has no such argument, or refuses the turns.
    """
    check_template_args(tokenizer, template_args)
    if not tokenizer.chat_template:
        return "\n\n".join(turn["content"] for turn in turns)
    if turns and turns[0]["role"] == "system" and not _takes_system(tokenizer, template_args):
        _say_moved(str(getattr(tokenizer, "name_or_path", "")))
        turns = _system_in_user_turn(turns)
    try:
        return _applied(tokenizer, turns, template_args)
    # A template is a program: what it makes of turns it was not written for can fail in any way.
    except Exception as error:
        raise EmospaceError(
            "the conversation",
            f"the model's chat template refuses it ({first_line(error)})",
            "Give turns of user and assistant in alternation, the user's first, and arguments the template takes.",
        ) from error


def check_template_args(tokenizer: Any, given: Mapping[str, Any]) -> None:
    """Refuse arguments that the chat template does not read, or that are not the user's to set."""
    if not given:
        return
    if not tokenizer.chat_template:
        raise EmospaceError(
            f"template argument '{next(iter(given))}'",
            "the model has no chat template",
            "Leave it out, or take a chat model.",
        )
    template = str(tokenizer.get_chat_template())
    ours = {*signature(tokenizer.apply_chat_template).parameters, "messages"}
    for name in given:
        if name in ours or not re.search(rf"\b{re.escape(name)}\b", template):
            raise EmospaceError(
                f"template argument '{name}'",
                "the model's chat template does not read it",
                "See the model's card for what it reads, as enable_thinking.",
            )


def _applied(tokenizer: Any, turns: Turns, template_args: Mapping[str, Any]) -> str:
    return str(
        tokenizer.apply_chat_template(
            [dict(turn) for turn in turns], tokenize=False, add_generation_prompt=True, **template_args
        )
    )


def _takes_system(tokenizer: Any, template_args: Mapping[str, Any]) -> bool:
    """Return whether a system prompt shows in what the template makes of it: some refuse it, some drop it."""
    probe = [{"role": "system", "content": "qzsystem"}, {"role": "user", "content": "qzuser"}]
    try:
        return "qzsystem" in _applied(tokenizer, probe, template_args)
    except Exception:
        return False


def _system_in_user_turn(turns: Turns) -> Turns:
    """Return the turns with the leading system prompts put before the first user turn's text."""
    first = next((place for place, turn in enumerate(turns) if turn["role"] != "system"), len(turns))
    system = "\n\n".join(turn["content"] for turn in turns[:first])
    rest = list(turns[first:])
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system}, *rest]
    return [{"role": "user", "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]]


@lru_cache
def _say_moved(name: str) -> None:
    log.warning(
        "the chat template of %s has no place for a system prompt: it is put before the user's text", name
    )
