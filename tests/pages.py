"""Pages of the documentation run as they are written: their shell and Python blocks, in order, in one folder."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from unittest import mock

from pyarrow import parquet
from typer.testing import CliRunner

from emospace.cli import app
from emospace.models import load_model

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"(<!-- not run: [^\n]+ -->\n)?^```(sh|python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, its text, and whether the page says that it is not run."""

    kind: str
    text: str
    skipped: bool


def blocks(page: Path) -> list[Block]:
    """Return the shell, Python and output blocks of a page; one below ``<!-- not run: why -->`` is skipped."""
    return [
        Block(kind, text, bool(skip)) for skip, kind, text in FENCE.findall(page.read_text(encoding="utf-8"))
    ]


MODELS: dict[str, Any] = {}
"""Those loaded in this process, by the arguments of `load_model`."""


def load_once(*name: str, **options: Any) -> Any:
    """Return what `load_model` does, for the same arguments the same: the pages name two models in every command."""
    given = signature(load_model).bind(*name, **options)
    given.apply_defaults()
    key = repr(given)
    if key not in MODELS:
        MODELS[key] = load_model(*name, **options)
    return MODELS[key]


@contextlib.contextmanager
def models_loaded_once() -> Iterator[None]:
    """Let commands and Python of this process share the models they load."""
    with (
        mock.patch("emospace.models.load_model", load_once),
        mock.patch("emospace.load_model", load_once),
    ):
        yield


def digitless(line: str) -> str:
    """Return a line with its numbers masked and its spaces alike, since figures differ between machines."""
    return re.sub(r"\d+(\.\d+)?", "#", " ".join(line.split()))


def run_page(page: Path, folder: Path) -> str:
    """Run a page in a folder and return all it printed; what its output blocks show must be in it.

    A Python block goes on from the one before. A block that begins with ``emospace serve`` runs until the end, at a
    free port in place of 8000.
    """
    port = str(_free_port())
    names: dict[str, Any] = {"__name__": page.stem}
    shown = ""
    with contextlib.chdir(folder), models_loaded_once(), contextlib.ExitStack() as servers:
        for kind, text, skipped in blocks(page):
            here = text.replace(":8000", f":{port}").replace("--port 8000", f"--port {port}")
            if skipped:
                continue
            if kind == "text":
                printed = set(map(digitless, shown.splitlines()))
                assert set(map(digitless, text.splitlines())) <= printed, f"{page.name}: {text}"
            elif kind == "python":
                stream = io.StringIO()
                with contextlib.redirect_stdout(stream):
                    exec(compile(here, page.name, "exec"), names)
                shown += stream.getvalue()
            elif text.startswith("emospace serve"):
                servers.enter_context(_serving(here, folder))
            else:
                shown += _shell(here, folder)
    return shown


def run_notebook(notebook: Path, folder: Path) -> str:
    """Run the code cells of a notebook in a folder, one after another, and return what they printed."""
    names: dict[str, Any] = {"__name__": notebook.stem}
    stream = io.StringIO()
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    with contextlib.chdir(folder), models_loaded_once(), contextlib.redirect_stdout(stream):
        for cell in cells:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), notebook.name, "exec"), names)
    return stream.getvalue()


def undescribed(tables: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the columns of a run's tables that docs/tables.md does not describe, as ``table.column``.

    ``rdm_LANGUAGE`` there is any RDM; its columns beside ``category`` are categories, as the page says.
    """
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    described = {name: set(re.findall(r"`([^`]+)`", columns)) for name, columns in rows}
    missing = set()
    for table, columns in tables.items():
        if re.fullmatch(r"rdm_(human_)?[a-z]{2}(_.+)?", table):
            table, columns = "rdm_LANGUAGE", ["category"]
        missing |= {f"{table}.{column}" for column in columns if column not in described.get(table, ())}
    return missing


def undescribed_in(run: Path) -> set[str]:
    """Return the same for a run folder."""
    tables = (run / "tables").glob("*.parquet")
    return undescribed({path.stem: parquet.read_schema(path).names for path in tables})


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which `emospace` is the one under test."""
    tools = folder / ".tools"
    tools.mkdir(exist_ok=True)
    command = tools / "emospace"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m emospace "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}


def _shell(text: str, folder: Path) -> str:
    lines = text.replace("\\\n", "").splitlines()
    if all(line.startswith("emospace ") for line in lines):
        return "".join(map(_command, lines))
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", text],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _command(line: str) -> str:
    """Run a line of `emospace` in this process, which has torch loaded already."""
    done = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    return done.stdout


@contextlib.contextmanager
def _serving(text: str, folder: Path) -> Iterator[None]:
    server = subprocess.Popen(
        ["bash", "-c", f"exec {text}"], cwd=folder, env=environment(folder), stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    try:
        log = []
        for line in server.stderr:
            log.append(line)
            if "http://" in line:
                break
        else:
            raise AssertionError("".join(log))
        # A pipe that nobody reads fills up and stops the server.
        Thread(target=server.stderr.read, daemon=True).start()
        yield
    finally:
        server.terminate()
        server.wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
