"""The page's files, found in a listing made at the start: no path of a request reaches the disk."""

from __future__ import annotations

from mimetypes import guess_type
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from emospace.server.failures import ApiError

FOLDER = Path(__file__).parent / "page"
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}


def page_routes(folder: Path = FOLDER) -> APIRouter:
    """Return the routes of the page: its files by their place in the folder, `/` is ``index.html``."""
    router = APIRouter(include_in_schema=False)
    listed = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}

    @router.get("/{name:path}")
    def page(name: str, request: Request) -> Response:
        path = listed.get(name or "index.html")
        if path is None:
            raise ApiError(404, f"There is nothing at {request.url.path}.", "not_found")
        kind = TYPES.get(path.suffix) or guess_type(path.name)[0] or "application/octet-stream"
        return Response(path.read_bytes(), media_type=kind, headers={"cache-control": "no-cache"})

    return router
