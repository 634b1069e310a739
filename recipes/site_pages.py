"""What the documentation site shows beside docs/: pages from elsewhere in the repository, the commands, the public names.

mkdocs calls the functions `on_*` while it builds (``hooks`` of mkdocs.yml). What they add is in the site alone, so
that nothing is written twice: options come from the command line, the reference from the docstrings.
"""

from __future__ import annotations

import ast
import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "packages/gemma/README.md": "gemma-package.md",
}
"""Files outside docs/ and the page a link to them leads to; docs/index.md stands for the README."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def relinked(text: str, source: str, page: str) -> str:
    """Return a page whose links lead to pages of the site; a link to code becomes its text.

    Parameters
    ----------
    text
        Markdown whose links are relative to `source`.
    source
        The file, from the root of the repository.
    page
        The page it becomes, from the root of the site.
    """

    def relink(match: re.Match[str]) -> str:
        mark, label, target, anchor = match.groups("")
        if ":" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path.startswith("docs/") and (ROOT / path).is_file():
            path = path.removeprefix("docs/")
        elif path in ELSEWHERE:
            path = ELSEWHERE[path]
        else:
            # Code is not in the site; a link to nothing stays as it is, and mkdocs refuses it.
            return label if (ROOT / path).exists() else match[0]
        return f"{mark}[{label}]({posixpath.relpath(path, posixpath.dirname(page) or '.')}{anchor})"

    return LINK.sub(relink, text)


def public_names() -> dict[str, list[str]]:
    """Return the public names by package, each with its full path, as ``__init__.pyi`` lists them."""
    tree = ast.parse((ROOT / "src/emospace/__init__.pyi").read_text(encoding="utf-8"))
    names: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            package = node.module.split(".")[0]
            names.setdefault(package, []).extend(f"emospace.{node.module}.{name.name}" for name in node.names)
    return names


def summary(package: str) -> str:
    """Return what a package says of itself in its first line."""
    home = ROOT / "src/emospace" / package
    file = home / "__init__.py" if home.is_dir() else home.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def reference() -> Iterator[tuple[str, str]]:
    """Yield the pages of the Python reference: one a package, and the list of all names."""
    lines = [
        "# Python",
        "",
        "`import emospace as es` gives all names below; each loads its libraries when it is first used.",
        "",
        "| package | names |",
        "|---|---|",
    ]
    for package, names in public_names().items():
        links = [f"[`{name.rpartition('.')[2]}`]({package}.md#{name})" for name in names]
        lines.append(f"| {summary(package)} | {' '.join(links)} |")
        body = "\n\n".join(f"::: {name}" for name in names)
        yield (
            f"api/{package}.md",
            f"---\ntitle: {package}\n---\n\n# {package}\n\n{summary(package)}\n\n{body}\n",
        )
    yield "api/index.md", "\n".join(lines) + "\n"


def commands() -> str:
    """Return the page of all commands and their options."""
    import typer

    from emospace.cli import app

    root = typer.main.get_command(app)
    parts = [
        "# Commands",
        "As `emospace COMMAND --help` gives them. `--config FILE` takes any of a command's options from a TOML or "
        "JSON file, by their names with `_`.",
        _command("emospace", root),
        *(_command(name, command) for name, command in _leaves("emospace", root)),
    ]
    return "\n\n".join(parts) + "\n"


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for word, inner in getattr(command, "commands", {}).items():
        if inner.hidden:
            continue
        if hasattr(inner, "commands"):
            yield from _leaves(f"{name} {word}", inner)
        else:
            yield f"{name} {word}", inner


def _command(name: str, command: Any) -> str:
    """Return a command's section: its help, the examples as code, its options as a table."""
    parts: list[str] = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        text = " ".join(paragraph.split())
        if not text.startswith("emospace "):
            parts.append(text)
        elif parts and parts[-1].startswith("```"):
            parts[-1] = f"{parts[-1].removesuffix('```')}{text}\n```"
        else:
            parts.append(f"```sh\n{text}\n```")
    rows = [_option(option) for option in command.params if not getattr(option, "hidden", False)]
    table = ["\n".join(["| option | default | says |", "|---|---|---|", *rows])] if rows else []
    return "\n\n".join([f"## {name}", *parts, *table])


def _option(option: Any) -> str:
    def cell(text: object) -> str:
        return re.sub(r"\s+", " ", str(text)).replace("|", "\\|").replace("<", "&lt;")

    flags = " ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
    if option.param_type_name == "argument":
        flags = f"`{(option.metavar or option.name).strip('[]{}').upper()}`"
    default = option.default
    shown = "" if default is None or callable(default) or default is False else default
    if isinstance(shown, list | tuple):
        shown = ",".join(map(str, shown))
    elif shown is True:
        shown = "yes"
    said = "required" if option.required else f"`{shown}`" if str(shown) else ""
    return f"| {flags} | {cell(said)} | {cell(option.help or '')} |"


def on_config(config: Any) -> Any:
    """List in the navigation the pages of the Python reference, and published results that it does not name."""

    def fill(entries: list[Any]) -> None:
        for entry in entries:
            inner = next(iter(entry.values())) if isinstance(entry, dict) else None
            if inner == ["api/index.md"]:
                inner += [f"api/{package}.md" for package in public_names()]
            elif isinstance(inner, list):
                fill(inner)
                named = {
                    next(iter(part.values()))
                    for part in inner
                    if not isinstance(next(iter(part.values())), list)
                }
                if any(page.startswith("results/") for page in named):
                    inner += [page for page in results() if page not in named]

    fill(config.nav)
    return config


def results() -> list[str]:
    """Return the pages of published results."""
    return sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs/results").glob("*.md"))


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    pages = dict(reference()) | {"commands.md": commands()}
    for source, page in ELSEWHERE.items():
        if files.get_file_from_path(page) is None:
            pages[page] = relinked((ROOT / source).read_text(encoding="utf-8"), source, page)
    for page, text in pages.items():
        # docs/ has a page of that name for readers of the repository, which says where the contents are.
        if stub := files.get_file_from_path(page):
            files.remove(stub)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links out of docs/ to the pages of the site."""
    uri = page.file.src_uri
    return relinked(markdown, f"docs/{uri}", uri) if page.file.generated_by is None else markdown
