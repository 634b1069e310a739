"""Pages: the files of the server's page, and the API's reference made of its OpenAPI schema, which work offline.

The page draws figures as the report does, with the report's palette and script and the installed Plotly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

FOLDER = Path(__file__).parent / "page"
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}

REFERENCE = Path(__file__).with_name("reference.html")
"""Template of the reference."""


def page_files(folder: Path = FOLDER) -> dict[str, Path]:
    """Return the files of the page by their places under `/`: those of the folder, of the report and Plotly."""
    of_page = sorted(path for path in folder.rglob("*") if path.is_file())
    report, plotly = (Path(str(files(package))) for package in ("emospace.report", "plotly"))
    return {path.relative_to(folder).as_posix(): path for path in of_page} | {
        "css/palette.css": report / "palette.css",
        "js/figures.js": report / "figures.js",
        "js/plotly.min.js": plotly / "package_data" / "plotly.min.js",
    }


def page_routes(folder: Path = FOLDER) -> APIRouter:
    """Return a route for each file of the page; `/` is ``index.html``.

    The files are found at the start: no path of a request reaches the disk.
    """
    router = APIRouter(include_in_schema=False)
    for place, path in page_files(folder).items():
        router.add_api_route(f"/{place}", _serving(path), methods=["GET"])
        if place == "index.html":
            router.add_api_route("/", _serving(path), methods=["GET"])
    return router


def _serving(path: Path) -> Callable[[], Response]:
    kind = TYPES.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"

    def file() -> Response:
        return Response(path.read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})

    return file


def reference(schema: Mapping[str, Any]) -> str:
    """Return the reference as one page without scripts."""
    from jinja2 import Environment

    operations = [
        {
            "id": operation["operationId"],
            "method": method.upper(),
            "path": path,
            "says": operation.get("description", ""),
            "parameters": [
                _row(field["name"], field["schema"], field.get("required", False))
                for field in operation.get("parameters", [])
            ],
            "body": _fields(schema, operation.get("requestBody", {})),
            "response": _fields(schema, operation.get("responses", {}).get("200", {})),
        }
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    template = Environment(autoescape=True).from_string(REFERENCE.read_text(encoding="utf-8"))
    return template.render(info=schema["info"], operations=operations)


def _fields(schema: Mapping[str, Any], holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    body = holder.get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in body:
        body = schema["components"]["schemas"][_last(body["$ref"])]
    required = body.get("required", [])
    return [_row(name, field, name in required) for name, field in body.get("properties", {}).items()]


def _row(name: str, field: Mapping[str, Any], required: bool) -> dict[str, Any]:
    meaning = field.get("description", "")
    if field.get("examples"):
        meaning = f"{meaning} e.g. {json.dumps(field['examples'][0])}".strip()
    return {"name": name, "type": _type(field), "required": required, "meaning": meaning}


def _type(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return _last(field["$ref"])
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(part) for part in field["anyOf"]))
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("type", "any"))


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]
