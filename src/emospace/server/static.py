"""The page's files, a route for each, found at the start: no path of a request reaches the disk."""

from __future__ import annotations

from collections.abc import Callable
from mimetypes import guess_type
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

FOLDER = Path(__file__).parent / "page"
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}


def page_routes(folder: Path = FOLDER) -> APIRouter:
    """Return a route for each file of the page, by its place in the folder; `/` is ``index.html``."""
    router = APIRouter(include_in_schema=False)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = path.relative_to(folder).as_posix()
        router.add_api_route(f"/{place}", _serving(path), methods=["GET"])
        if place == "index.html":
            router.add_api_route("/", _serving(path), methods=["GET"])
    return router


def _serving(path: Path) -> Callable[[], Response]:
    kind = TYPES.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"

    def file() -> Response:
        return Response(path.read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})

    return file
