"""Each parameter of the public API is documented, and each error that a public function raises itself."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import docstring_parser
import pytest
from pydantic import BaseModel

import emospace


def public_methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods that a class has from emospace; those that it inherits elsewhere are not ours."""
    for name, attribute in inspect.getmembers_static(cls):
        method = inspect.unwrap(getattr(attribute, "__func__", attribute))
        if (
            inspect.isfunction(method)
            and not name.startswith("_")
            and method.__module__.startswith("emospace")
        ):
            yield name, method


def callables() -> Iterator[tuple[str, Any]]:
    """Yield what the public API calls: functions, classes (but for exceptions) and their methods."""
    for name in emospace.__all__:
        thing = getattr(emospace, name)
        if isinstance(thing, type):
            if not issubclass(thing, Exception):
                yield name, thing
                yield from ((f"{name}.{method}", function) for method, function in public_methods(thing))
        elif callable(thing):
            yield name, inspect.unwrap(thing)


CALLABLES = [pytest.param(thing, id=name) for name, thing in callables()]


def described(thing: Any) -> set[str]:
    """Return the parameters and attributes with a description in the numpydoc sections of a docstring."""
    params = docstring_parser.parse(inspect.getdoc(thing) or "", docstring_parser.Style.NUMPYDOC).params
    return {name.strip(" *") for param in params if param.description for name in param.arg_name.split(",")}


def errors_of(thing: Any) -> set[str]:
    """Return the errors in the section Raises."""
    parsed = docstring_parser.parse(inspect.getdoc(thing) or "", docstring_parser.Style.NUMPYDOC)
    return {name.strip() for error in parsed.raises for name in (error.type_name or "").split(",")}


def raised(function: Callable[..., Any]) -> set[type[Exception]]:
    """Return the errors that a function names in its `raise` statements; one it keeps in a variable is any."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    return {error for node in definition.body for error in _raised(node, function.__globals__)}


def _raised(node: ast.AST, names: dict[str, Any], caught: frozenset[str] = frozenset()) -> Iterator[Any]:
    if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
        return
    if isinstance(node, ast.Try):
        here = {
            part.id
            for handler in node.handlers
            for part in ast.walk(handler.type or ast.Name("BaseException"))
            if isinstance(part, ast.Name)
        }
        for child in node.body:
            yield from _raised(child, names, caught | here)
        node.body = []
    if isinstance(node, ast.Raise) and node.exc is not None:
        name = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        error = names.get(name) or getattr(builtins, name, Exception)
        if inspect.isfunction(error):
            error = error.__globals__[error.__annotations__["return"]]
        if not is_named(error, caught):
            yield error
    for child in ast.iter_child_nodes(node):
        yield from _raised(child, names, caught)


def is_named(error: type[Exception], names: set[str]) -> bool:
    """Return whether a section Raises has an error or what it is a kind of."""
    return any(base.__name__ in names for base in error.__mro__ if base is not object)


def test_parameters_are_those_with_a_description():
    def example(a, b, c, d):
        """Do nothing with `c` or d.

        Parameters
        ----------
        a, b
            Numbers.
        d

        Returns
        -------
        c
            Nothing.
        """

    assert described(example) == {"a", "b"}


def test_errors_are_those_that_leave_a_function():
    def example(path):
        try:
            raise UnicodeError
        except (ValueError, OSError) as error:
            raise KeyError(path) from error

    assert raised(example) == {KeyError}
    assert is_named(UnicodeError, {"ValueError"})
    assert not is_named(ValueError, {"UnicodeError"})


@pytest.mark.parametrize("thing", CALLABLES)
def test_each_parameter_is_described(thing):
    if isinstance(thing, type) and issubclass(thing, BaseModel):
        given = {name for name, field in thing.model_fields.items() if not field.description}
    else:
        given = set(inspect.signature(thing).parameters) - {"self", "cls"}
    assert not {name for name in given if not name.startswith("_")} - described(thing)
    assert isinstance(thing, type) or described(thing) <= given, "a parameter that there is no more"


@pytest.mark.parametrize("thing", CALLABLES)
def test_each_error_is_listed(thing):
    functions = [thing]
    if isinstance(thing, type):
        written = vars(thing).get("__post_init__" if is_dataclass(thing) else "__init__")
        functions = [written] if inspect.isfunction(written) else []
    missing = {
        error.__name__
        for function in functions
        for error in raised(function)
        if not is_named(error, errors_of(thing))
    }
    assert not missing
