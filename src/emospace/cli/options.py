"""The command line of a specification: its options, ``--config``, and the line that runs it again."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import typer

from emospace.errors import DiskError, EmospaceError, InvalidInput, unknown
from emospace.specs import MODEL

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    Spec = TypeVar("Spec", bound=BaseModel)

CONFIG = "A TOML or JSON file of settings, such as the spec.json of a run; options on the line override it."
_PYTHON = {"True": True, "False": False, "None": None}
"""Words that would be text, and true, as they stand."""


BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
"""How a field declares a bound of its numbers -> the words for it."""


class Option(NamedTuple):
    """An option and the fields it sets: paths from the specification, one for most options."""

    flag: str
    paths: tuple[tuple[str, ...], ...]
    annotation: Any
    default: Any
    field: FieldInfo
    shown: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its parameter."""
        return self.paths[0][-1]

    @property
    def splits(self) -> bool:
        """Whether one value holds several, separated by commas."""
        inner = get_args(self.annotation)[0] if get_origin(self.annotation) is tuple else str
        return bool(self.shown.get("comma")) or inner in (int, float)

    @property
    def bounds(self) -> str:
        """The numbers it takes, in words; empty where it takes any, or none."""
        inner = getattr(next(iter(get_args(self.annotation)), None), "__metadata__", ())
        limits = [limit for field in (self.field, *inner) for limit in field.metadata]
        return " and ".join(
            f"{words} {value:g}"
            for name, words in BOUNDS.items()
            for limit in limits
            if (value := getattr(limit, name, None)) is not None
        )

    def parse(self, given: Any) -> Any:
        """Return the field's value from what was given on the line."""
        if self.annotation is dict:
            return template_args_of(given)
        if get_origin(self.annotation) is tuple:
            return split(given) if self.splits else tuple(given)
        return given

    def words(self, value: Any) -> list[str]:
        """Return the words of a command line that give a value."""
        if isinstance(value, bool):
            return [self.flag if value else self.flag.replace("--", "--no-", 1)]
        if isinstance(value, dict):
            values = [f"{name}={json.dumps(part, ensure_ascii=False)}" for name, part in value.items()]
        elif isinstance(value, tuple):
            values = [",".join(map(str, value))] if self.splits else [str(part) for part in value]
        else:
            values = [str(value)]
        return (
            values if self.shown.get("argument") else [word for part in values for word in (self.flag, part)]
        )


def options_of(kind: Any) -> tuple[Option, ...]:
    """Return the options of a specification; fields of one flag, as both seeds of a study, are one option."""
    options: dict[str, Option] = {}
    for option in _options(kind):
        if option.flag in options:
            option = options[option.flag]._replace(paths=(*options[option.flag].paths, *option.paths))
        options[option.flag] = option
    return tuple(options.values())


def _options(kind: type[BaseModel]) -> Iterator[Option]:
    for name, field in kind.model_fields.items():
        nested = type(field.default)
        if hasattr(nested, "model_fields"):
            for option in options_of(nested):
                paths = tuple((name, *path) for path in option.paths)
                yield option._replace(paths=paths, default=getattr(field.default, option.name))
            continue
        extra = field.json_schema_extra
        shown: Any = extra.get("option", {}) if isinstance(extra, dict) else {}
        flag = shown.get("argument") or shown.get("flag") or f"--{name.replace('_', '-')}"
        default = None if field.is_required() else field.default
        yield Option(flag, ((name,),), _plain(field.annotation), default, field, shown)


def _plain(annotation: Any) -> Any:
    """Return an annotation without ``None``, and ``dict`` for any dictionary."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    return dict if get_origin(annotation) is dict else annotation


def _parameters(option: Option, config: bool) -> Iterator[inspect.Parameter]:
    """Yield the parameter of an option for Typer, and a hidden one for its former name."""
    shown, default, plain = option.shown, option.default, option.annotation
    is_number = plain in (int, float)
    if option.field.is_required() and not config:
        default = inspect.Parameter.empty
    if get_origin(plain) is Literal:
        kind: Any = str
    elif get_origin(plain) is tuple or plain is dict:
        kind = list[str]
        values = list(map(str, default or ()))
        default = ([",".join(values)] if option.splits else values) if values else None
    elif is_number:
        # The specification reads numbers: its message names what was given, and the bounds.
        kind, default = str, default if default in (None, inspect.Parameter.empty) else str(default)
    else:
        kind = plain
    look: dict[str, Any] = {
        "help": option.field.description,
        "metavar": shown.get("metavar") or (f"<{plain.__name__}>" if is_number else None),
        "rich_help_panel": shown.get("panel"),
    }
    if shown.get("argument"):
        info = typer.Argument(**{**look, "metavar": shown["argument"]})
    else:
        both = f"{option.flag}/{option.flag.replace('--', '--no-', 1)}"
        info = typer.Option(both if plain is bool and default else option.flag, **look)
    yield _parameter(option.name, kind, info, default)
    if shown.get("old"):
        yield _parameter(f"old_{option.name}", kind, typer.Option(shown["old"], hidden=True), None)


def _parameter(name: str, kind: Any, info: Any, default: Any) -> inspect.Parameter:
    hint: Any = Annotated[kind if default is not None else kind | None, info]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def takes(kind: type[Spec], *, config: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a specification, and ``--config``, in place of its parameter `spec`."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = options_of(kind)
        ordered = sorted(options, key=lambda option: option.shown.get("panel") == MODEL)

        @wraps(command)
        def run(context: typer.Context, **given: Any) -> None:
            stated = []
            for option in options:
                for name in (f"old_{option.name}", option.name):
                    value = given.pop(name, None)
                    source = context.get_parameter_source(name)
                    if source is not None and source.name == "COMMANDLINE":
                        stated.append((option, option.parse(value)))
            command(build_spec(kind, stated, given.pop("config", None)), **given)

        signature = inspect.signature(command, eval_str=True)
        keyword = inspect.Parameter.KEYWORD_ONLY
        rest = [part.replace(kind=keyword) for name, part in signature.parameters.items() if name != "spec"]
        parameters = [
            inspect.Parameter("context", keyword, annotation=typer.Context),
            *(part for option in ordered for part in _parameters(option, config)),
            *rest,
        ]
        if config:
            file = typer.Option("--config", metavar="FILE", help=CONFIG)
            parameters.append(_parameter("config", Path, file, None))
        run.__annotations__ = {part.name: part.annotation for part in parameters}
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def build_spec(kind: type[Spec], stated: Sequence[tuple[Option, Any]], config: Path | None = None) -> Spec:
    """Return a specification from a file of settings and the options on the line, which come first.

    Raises
    ------
    EmospaceError
        If the file cannot be read, or a value is not one its field takes; the option is named.
    """
    from pydantic import ValidationError

    values = read_config(config) if config else {}
    for option in options_of(kind):
        given = [value for path in option.paths if (value := _at(values, path)) is not None]
        for path in option.paths if given and len(option.paths) > 1 else ():
            _put(values, path, given[0] if _at(values, path) is None else _at(values, path))
    for option, value in stated:
        for path in option.paths:
            _put(values, path, value)
    for name, field in kind.model_fields.items():
        if hasattr(type(field.default), "model_fields") and isinstance(values.get(name), dict):
            values[name] = {**field.default.model_dump(), **values[name]}
    try:
        return kind(**values)
    except ValidationError as error:
        raise _named(kind, error.errors()[0], values, config) from error


def _named(
    kind: type[BaseModel], problem: Any, values: Mapping[str, Any], config: Path | None
) -> EmospaceError:
    """Return the error of a problem that pydantic found, by the option it is about."""
    place = tuple(part for part in problem["loc"] if isinstance(part, str))
    by_path = {path: option for option in options_of(kind) for path in option.paths}
    option = next((by_path[place[:n]] for n in (2, 1) if place[:n] in by_path), None)
    if option is None:
        if problem["type"] == "extra_forbidden":
            absent = unknown("setting", ".".join(place), [path[-1] for path in by_path])
            return InvalidInput(f"--config {config}, {absent.what}", absent.why, absent.hint)
        return InvalidInput(str(config or ".".join(place)), problem["msg"], "Give other settings.")
    if problem["type"] == "missing" or (problem["type"] == "too_short" and not problem["input"]):
        return InvalidInput(
            option.flag, "it is required", f"Give {option.flag}, or a --config file that has it."
        )
    value = _at(values, option.paths[0])
    shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
    why = (
        problem["msg"].removeprefix("Value error, ").removeprefix("Input ").partition(", unable to parse")[0]
    )
    return InvalidInput(
        option.flag if shown in (None, "") else f"{option.flag} {shown}",
        f"it {why}" if why.startswith("should") else why,
        f"Give {option.flag} {bounds}."
        if (bounds := option.bounds)
        else f"Give another {option.flag}: {option.field.description}",
    )


def _at(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None  # type: ignore[assignment]
    return values


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML or JSON file."""
    from emospace.artefacts import read_object

    hint = "Write lines like folds = 5 in TOML, or JSON in a file whose name ends in .json."
    settings = read_object(path, f"--config {path}", hint)
    return {name.replace("-", "_"): value for name, value in settings.items()}


def command_line(command: str, spec: Any, out: Path | None = None) -> str:
    """Return the line that runs a specification again: every option that is not at its default, and --out."""
    arguments: list[str] = []
    words: list[str] = []
    for option in options_of(type(spec)):
        if option.name == "out":
            continue
        for path in option.paths:
            value: Any = spec
            for name in path:
                value = getattr(value, name)
            if value != option.default and value is not None:
                (arguments if option.shown.get("argument") else words).extend(option.words(value))
                break
    folder: Path = out or spec.out
    return shlex.join([*command.split(), *arguments, *words, "--out", str(folder)])


def keep_spec(spec: BaseModel, folder: Path) -> Path:
    """Write a specification into its run folder, made if it is missing, for ``--config``; return the folder."""
    from emospace.artefacts import write_text

    run_folder(folder)
    write_text(folder / "spec.json", spec.model_dump_json(indent=1) + "\n")
    return folder


def run_folder(out: Path) -> Path:
    """Return a run folder that can be written to, made if it is missing."""
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"--out {out}", "it is a file", "Name a folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"--out {out}", f"it cannot be made ({error.strerror})", "Choose another folder."
        ) from error
    return out


def split(given: Sequence[str]) -> tuple[str, ...]:
    """Return the parts of comma-separated values, each once and in order."""
    parts = (part.strip() for value in given for part in value.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def template_args_of(given: Sequence[str] | None) -> dict[str, Any]:
    """Return the arguments of ``--template-arg name=value``; values are JSON, or else text."""
    arguments: dict[str, Any] = {}
    for part in given or ():
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(
                f"--template-arg {part}", "it is no name=value", "Write enable_thinking=false."
            )
        try:
            arguments[name.strip()] = _PYTHON[value] if value in _PYTHON else json.loads(value)
        except ValueError:
            arguments[name.strip()] = value
    return arguments
