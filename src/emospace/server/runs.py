"""`/v1/runs` and `/v1/compare`: results of finished studies, found by name in a listing of one folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse

from emospace.artefacts import jsonable
from emospace.errors import EmospaceError
from emospace.report.run import Run, load_run
from emospace.server.failures import ApiError

if TYPE_CHECKING:
    import pandas as pd

    from emospace.comparison import Compared

MOST_ROWS, ROWS = 50_000, 1_000
MOST_COMPARED = 6
Names = Annotated[list[str], Query(alias="run", min_length=1)]

_RESERVED = ("search", "sort", "limit", "offset", "run")
"""Parameters that are no filters; a column of such a name is asked for as ``where[run]``."""


@dataclass(frozen=True)
class Listing:
    """The runs of a folder at one moment, by name, and why others beside them cannot be read."""

    runs: Mapping[str, Run]
    unreadable: Mapping[str, str]


class Runs:
    """The finished studies directly under a folder; a request's names are looked up in what the folder lists."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def listing(self) -> Listing:
        """Return what the folder holds now; a file that did not change is not read again."""
        runs: dict[str, Run] = {}
        unreadable: dict[str, str] = {}
        places = sorted(self.folder.iterdir()) if self.folder and self.folder.is_dir() else []
        for place in places:
            results = place / "results.json"
            if place.is_symlink() or not results.is_file():
                continue
            try:
                runs[place.name] = _read(place, results.stat().st_mtime_ns)
            except EmospaceError as error:
                unreadable[place.name] = error.why
        return Listing(runs, unreadable)

    def run(self, name: str) -> Run:
        """Return a run; raises `ApiError` where there is none of that name."""
        runs = self.listing().runs
        if name not in runs:
            raise ApiError(404, f"There is no run '{name}'.", "run_not_found", "run")
        return runs[name]

    def feature_words(self, sae_hash: str, language: str) -> dict[int, list[str]]:
        """Return the top words of an autoencoder's latents, from the runs made with it, those of a language first."""
        in_language: dict[int, list[str]] = {}
        elsewhere: dict[int, list[str]] = {}
        for run in self.listing().runs.values():
            sae = run.results.sae
            if sae is None or sae.file_hash != sae_hash or "features" not in _tables(run):
                continue
            table = _table(run, "features")
            for latent, words, spoken in zip(
                table["latent"], table["top_words"], table["language"], strict=True
            ):
                (in_language if spoken == language else elsewhere).setdefault(
                    int(latent), str(words).split(", ")
                )
        return elsewhere | in_language

    def compared(self, names: Sequence[str]) -> Compared:
        """Return the comparison of runs, the first the baseline; raises `ApiError` where it cannot be made."""
        if not 2 <= len(set(names)) == len(names) <= MOST_COMPARED:
            raise ApiError(400, f"run: name 2 to {MOST_COMPARED} different runs", "invalid_value", "run")
        folders = [self.run(name).folder for name in names]
        stamps = tuple((folder, (folder / "results.json").stat().st_mtime_ns) for folder in folders)
        try:
            return _compared(stamps)
        except EmospaceError as error:
            # The message names folders, whose place on the disk is not for clients.
            message = str(error).replace(f"{folders[0].parent}/", "")
            raise ApiError(400, message, "invalid_value", "run") from error


def run_routes(runs: Runs) -> APIRouter:
    """Return the routes that serve results."""
    router = APIRouter(prefix="/v1", tags=["runs"])
    one_at_a_time = asyncio.Semaphore(1)

    async def comparing(answer: Callable[[Compared], dict[str, Any]], names: Sequence[str]) -> JSONResponse:
        # A comparison takes seconds: those that wait for it hold no thread that others need.
        async with one_at_a_time:
            return await asyncio.to_thread(lambda: _json(answer(runs.compared(names))))

    @router.get("/runs")
    def list_runs() -> JSONResponse:
        """List the finished studies."""
        listing = runs.listing()
        return _json(
            {
                "object": "list",
                "data": [_card(name, run) for name, run in listing.runs.items()],
                "unreadable": [{"id": name, "why": why} for name, why in listing.unreadable.items()],
            }
        )

    @router.get("/runs/{run}")
    def one_run(run: str) -> JSONResponse:
        """Give the three answers and all records of a study."""
        found = runs.run(run)
        answers = [verdict.record().model_dump(mode="json") for verdict in found.results.verdicts]
        return _json(
            _card(run, found) | {"answers": answers, "results": found.results.model_dump(mode="json")}
        )

    @router.get("/runs/{run}/tables/{table}")
    def one_table(
        run: str,
        table: str,
        request: Request,
        search: Annotated[str | None, Query(max_length=200)] = None,
        sort: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ROWS,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> JSONResponse:
        """Give the rows of a table that have the values asked for: `?language=en&layer=18`."""
        found = runs.run(run)
        if table not in _tables(found):
            raise ApiError(404, f"The run '{run}' has no table '{table}'.", "table_not_found", "table")
        return _json(
            {"object": "table", "run": run, "table": table}
            | _part(_table(found, table), request, search, sort, limit, offset)
        )

    @router.get("/compare")
    async def compare(names: Names) -> JSONResponse:
        """Compare runs, the first the baseline."""

        def answer(found: Compared) -> dict[str, Any]:
            comparison = found.comparison.model_dump(mode="json")
            for record in comparison.get("runs", []):
                record["folder"] = Path(record["folder"]).name
            tables = sorted(found.tables)
            return {"object": "comparison", "runs": names, "comparison": comparison, "tables": tables}

        return await comparing(answer, names)

    @router.get("/compare/tables/{table}")
    async def compare_table(
        table: str,
        names: Names,
        request: Request,
        search: Annotated[str | None, Query(max_length=200)] = None,
        sort: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ROWS,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> JSONResponse:
        """Give a table of a comparison."""

        def answer(found: Compared) -> dict[str, Any]:
            if table not in found.tables:
                raise ApiError(404, f"The comparison has no table '{table}'.", "table_not_found", "table")
            head = {"object": "table", "run": None, "runs": names, "table": table}
            return head | _part(found.tables[table], request, search, sort, limit, offset)

        return await comparing(answer, names)

    return router


@lru_cache(maxsize=64)
def _read(folder: Path, _changed: int) -> Run:
    return load_run(folder)


@lru_cache(maxsize=16)
def _frame(path: Path, _changed: int) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


@lru_cache(maxsize=8)
def _compared(stamps: tuple[tuple[Path, int], ...]) -> Compared:
    from emospace.comparison import compare_runs

    return compare_runs([folder for folder, _ in stamps])


def _tables(run: Run) -> list[str]:
    return sorted(path.stem for path in (run.folder / "tables").glob("*.parquet"))


def _table(run: Run, name: str) -> pd.DataFrame:
    path = run.folder / "tables" / f"{name}.parquet"
    return _frame(path, path.stat().st_mtime_ns)


def _card(name: str, run: Run) -> dict[str, Any]:
    results = run.results
    return {
        "id": name,
        "object": "run",
        "model": results.model.model,
        "title": run.title,
        "languages": list(run.languages),
        "layer": results.manifest.layer,
        "n_blocks": results.model.n_blocks,
        "space": run.main_space,
        "command": results.manifest.command,
        "tables": _tables(run),
    }


def _part(
    frame: pd.DataFrame, request: Request, search: str | None, sort: str | None, limit: int, offset: int
) -> dict[str, Any]:
    """Return the rows that a request's query keeps, with the columns and how many there are in all."""
    for name in dict.fromkeys(request.query_params.keys()):
        if name in _RESERVED:
            continue
        column = name[6:-1] if name.startswith("where[") and name.endswith("]") else name
        if column not in frame.columns:
            raise _no_column(column, frame)
        values = request.query_params.getlist(name)
        frame = frame[frame[column].astype(str).isin(values)]
    if search:
        texts = frame.select_dtypes(exclude="number").astype(str)
        holds: Callable[[Any], Any] = lambda column: column.str.contains(search, case=False, regex=False)  # noqa: E731
        frame = frame[texts.apply(holds).any(axis=1)] if texts.shape[1] else frame.iloc[:0]
    if sort:
        column = sort.removeprefix("-")
        if column not in frame.columns:
            raise _no_column(column, frame)
        frame = _sorted(frame, column, ascending=not sort.startswith("-"))
    rows = frame.iloc[offset : offset + limit].astype(object)
    rows = rows.where(rows.notna(), None)
    columns = [rows[name].tolist() for name in rows.columns]
    return {
        "columns": [str(name) for name in frame.columns],
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "total": len(frame),
        "offset": offset,
    }


def _sorted(frame: pd.DataFrame, column: str, *, ascending: bool) -> pd.DataFrame:
    """Return a table in the order of a column, as text where its values have no order among each other."""
    try:
        return frame.sort_values(column, ascending=ascending, kind="stable")
    except (TypeError, ValueError):
        texts = frame[column].map(str, na_action="ignore").reset_index(drop=True)
        return frame.iloc[texts.sort_values(ascending=ascending, kind="stable").index]


def _no_column(column: str, frame: pd.DataFrame) -> ApiError:
    known = ", ".join(map(str, frame.columns[:20]))
    return ApiError(400, f"There is no column '{column}'; there are {known}.", "invalid_value", column)


def _json(value: Any) -> JSONResponse:
    return JSONResponse(jsonable(value))
