"""Between a specification and its options: one table of names, read in both directions."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emospace.errors import EmospaceError

if TYPE_CHECKING:
    from pydantic import BaseModel

    Spec = TypeVar("Spec", bound=BaseModel)

TEMPLATE_ARG = "Argument of the chat template, as enable_thinking=false (JSON, else text); repeatable."
_PYTHON = {"True": True, "False": False, "None": None}
"""Words that would be text, and true, as they stand."""

REVISION = "Commit, tag or branch of a hub id; a commit pins the model."


def split(given: Sequence[str]) -> tuple[str, ...]:
    """Return the parts of comma-separated values, each once and in order."""
    parts = (part.strip() for value in given for part in value.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def template_args_of(given: Sequence[str] | None) -> dict[str, Any]:
    """Return the arguments of ``--template-arg name=value``; values are JSON, or else text."""
    found: dict[str, Any] = {}
    for part in given or ():
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise EmospaceError(
                f"--template-arg {part}", "it is no name=value", "Write enable_thinking=false."
            )
        try:
            found[name.strip()] = _PYTHON[value] if value in _PYTHON else json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def build_spec(kind: type[Spec], names: Mapping[str, str], values: Mapping[str, Any]) -> Spec:
    """Return the specification of these values.

    Parameters
    ----------
    names
        Field -> option, as ``"n_draws": "--draws"``.

    Raises
    ------
    EmospaceError
        If a value is not one the field takes; the option is named.
    """
    from pydantic import ValidationError

    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        option = names.get(field, field)
        why = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        given = values.get(field)
        shown = f" {given}" if given not in (None, "", ()) else ""
        raise EmospaceError(
            f"{option}{shown}", f"it {why}" if why.startswith("should") else why, f"Give another {option}."
        ) from error


def command_line(command: str, spec: BaseModel, names: Mapping[str, str], out: Path) -> str:
    """Return the one line that runs a specification again: every option that is not at its default, and --out."""
    words = command.split()
    for field, option in names.items():
        value = getattr(spec, field)
        if value == type(spec).model_fields[field].default or value is None:
            continue
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, dict):
            for name, part in value.items():
                words += [option, f"{name}={json.dumps(part, ensure_ascii=False)}"]
        elif field == "languages":
            words += [option, ",".join(value)]
        else:
            for item in value if isinstance(value, tuple) else (value,):
                words += [option, str(item)]
    return shlex.join([*words, "--out", str(out)])


def run_folder(out: Path) -> Path:
    """Return a run folder that can be written to, made if it is missing."""
    if out.exists() and not out.is_dir():
        raise EmospaceError(f"--out {out}", "it is a file", "Name a folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmospaceError(
            f"--out {out}", f"it cannot be made ({error.strerror})", "Choose another folder."
        ) from error
    return out
