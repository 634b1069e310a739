"""`/v1/runs` and `/v1/compare`: results of finished studies, found by name in a listing of one folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse

from emospace import __version__
from emospace.artefacts import cache_dir, content_hash, file_hash, jsonable
from emospace.errors import DiskError, EmospaceError
from emospace.report.figure_data import figure_data, run_figures
from emospace.report.planes import BASIC
from emospace.report.run import Run, load_run
from emospace.server.beside import beside
from emospace.server.failures import ApiError

if TYPE_CHECKING:
    from emospace.comparison import Compared

MOST_ROWS, ROWS = 50_000, 1_000
MOST_COMPARED = 6
Names = Annotated[list[str], Query(alias="run", min_length=1)]

_RESERVED = ("search", "sort", "limit", "offset", "run")
"""Parameters that are no filters; a column of such a name is asked for as ``where[run]``."""


@dataclass(frozen=True)
class TableQuery:
    """Which rows of a table a request wants."""

    request: Request
    search: Annotated[str | None, Query(max_length=200)] = None
    sort: Annotated[str | None, Query(max_length=200)] = None
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = ROWS
    offset: Annotated[int, Query(ge=0)] = 0


@dataclass(frozen=True)
class FigureQuery:
    """Which figures of a run a request wants."""

    part: str
    language: Annotated[tuple[str, ...], Query(max_length=20)] = ()
    layer: Annotated[int | None, Query(ge=0)] = None
    categories: Annotated[str, Query(max_length=200)] = BASIC
    people: bool = True


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

    def figures(self, name: str, query: FigureQuery) -> dict[str, Any]:
        """Return figures of a run, made once; raises `ApiError` where there are none of that name."""
        folder = self.run(name).folder
        stamp = (folder / "results.json").stat().st_mtime_ns
        try:
            return _figures(folder, stamp, query)
        except EmospaceError as error:
            raise ApiError(400, str(error), "invalid_value") from error

    def side_by_side(self, names: Sequence[str]) -> Compared:
        """Return what the records of runs hold, without what a comparison computes; `compared` says how it fails."""
        return self._comparison(names, compute=False)

    def compared(self, names: Sequence[str]) -> Compared:
        """Return the comparison of runs, the first the baseline; raises `ApiError` where it cannot be made."""
        return self._comparison(names, compute=True)

    def _comparison(self, names: Sequence[str], compute: bool) -> Compared:
        if not 2 <= len(set(names)) == len(names) <= MOST_COMPARED:
            raise ApiError(400, f"run: name 2 to {MOST_COMPARED} different runs", "invalid_value", "run")
        folders = [self.run(name).folder for name in names]
        stamps = tuple((folder, (folder / "results.json").stat().st_mtime_ns) for folder in folders)
        try:
            return _compared(stamps, compute)
        except EmospaceError as error:
            # The message names folders, whose place on the disk is not for clients.
            message = str(error).replace(f"{folders[0].parent}/", "")
            raise ApiError(400, message, "invalid_value", "run") from error


def run_routes(runs: Runs) -> APIRouter:
    """Return the routes that serve results."""
    router = APIRouter(prefix="/v1", tags=["runs"])
    turn = asyncio.Semaphore(1)

    async def comparing(
        answer: Callable[[Compared], dict[str, Any]], names: Sequence[str], compute: bool = True
    ) -> JSONResponse:
        if not compute:
            return await beside(lambda: _json(answer(runs.side_by_side(names))))
        # A comparison takes seconds: those that wait for it hold no thread that others need.
        async with turn:
            return await beside(lambda: _json(answer(runs.compared(names))))

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
        study = runs.run(run)
        answers = [verdict.record().model_dump(mode="json") for verdict in study.results.verdicts]
        return _json(
            _card(run, study) | {"answers": answers, "results": study.results.model_dump(mode="json")}
        )

    @router.get("/runs/{run}/tables/{table}")
    def one_table(run: str, table: str, query: Annotated[TableQuery, Depends()]) -> JSONResponse:
        """Give the rows of a table that have the values asked for: `?language=en&layer=18`."""
        study = runs.run(run)
        if table not in _tables(study):
            raise ApiError(404, f"The run '{run}' has no table '{table}'.", "table_not_found", "table")
        head = {"object": "table", "run": run, "table": table}
        return _json(head | _part(_table(study, table), query))

    @router.get("/runs/{run}/figures")
    def figures(run: str, query: Annotated[FigureQuery, Depends()]) -> JSONResponse:
        """Give the figures of a part of the report as Plotly draws them: `?part=rdms&language=en`."""
        head = {"object": "figures", "run": run, "part": query.part}
        return JSONResponse(head | runs.figures(run, query))

    @router.get("/compare")
    async def compare(names: Names, compute: bool = True) -> JSONResponse:
        """Compare runs, the first the baseline; `compute=false` gives at once what their records hold."""

        def answer(compared: Compared) -> dict[str, Any]:
            comparison = compared.comparison.model_dump(mode="json")
            for record in comparison.get("runs", []):
                record["folder"] = Path(record["folder"]).name
            tables = sorted(compared.tables)
            return {"object": "comparison", "runs": names, "comparison": comparison, "tables": tables}

        return await comparing(answer, names, compute)

    @router.get("/compare/figures")
    async def compare_figures(names: Names, compute: bool = True) -> JSONResponse:
        """Give the figures of a comparison as Plotly draws them."""

        def answer(compared: Compared) -> dict[str, Any]:
            from emospace.comparison.page import sections

            blocks = [block for section in sections(compared) for block in section.blocks]
            return {"object": "figures", "run": None, "runs": names} | figure_data(blocks)

        return await comparing(answer, names, compute)

    @router.get("/compare/tables/{table}")
    async def compare_table(
        table: str, names: Names, query: Annotated[TableQuery, Depends()]
    ) -> JSONResponse:
        """Give a table of a comparison."""

        def answer(compared: Compared) -> dict[str, Any]:
            if table not in compared.tables:
                raise ApiError(404, f"The comparison has no table '{table}'.", "table_not_found", "table")
            head = {"object": "table", "run": None, "runs": names, "table": table}
            return head | _part(compared.tables[table], query)

        return await comparing(answer, names)

    return router


@lru_cache(maxsize=64)
def _read(folder: Path, _changed: int) -> Run:
    return load_run(folder)


@lru_cache(maxsize=16)
def _frame(path: Path, _changed: int) -> pd.DataFrame:

    return pd.read_parquet(path)


@lru_cache(maxsize=8)
def _compared(stamps: tuple[tuple[Path, int], ...], compute: bool) -> Compared:
    from emospace.comparison import Compared, compare_runs

    folders = [folder for folder, _ in stamps]
    names = [folder.name for folder in folders]
    if not compute:
        return compare_runs(folders, names=names, compute=False)
    # It takes up to minutes: a server that is started again has it from the last.
    files = [[folder / "results.json", *sorted((folder / "tables").glob("*.parquet"))] for folder in folders]
    kept = (
        cache_dir() / "comparisons" / content_hash(__version__, names, [file_hash(paths) for paths in files])
    )
    try:
        return Compared.load(kept)
    except EmospaceError:
        compared = compare_runs(folders, names=names)
    with suppress(DiskError):
        compared.save(kept)
    return compared


@lru_cache(maxsize=256)
def _figures(folder: Path, changed: int, query: FigureQuery) -> dict[str, Any]:
    run = _read(folder, changed)
    data = run_figures(run, query.part, query.language, query.layer, query.categories, query.people)
    return {name: jsonable(value) for name, value in data.items()}


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


def _part(frame: pd.DataFrame, query: TableQuery) -> dict[str, Any]:
    """Return the rows that a query keeps, with the columns and how many there are in all."""
    given = query.request.query_params
    for name in dict.fromkeys(given.keys()):
        if name not in _RESERVED:
            column = name[6:-1] if name.startswith("where[") and name.endswith("]") else name
            values = _column(frame, column).astype(str)
            frame = frame[values.isin(given.getlist(name))]
    if query.search:
        texts = frame.select_dtypes(exclude="number").astype(str)
        holds = [texts[name].str.contains(query.search, case=False, regex=False) for name in texts]
        frame = frame[np.any(holds, axis=0)] if holds else frame.iloc[:0]
    if query.sort:
        column = query.sort.removeprefix("-")
        frame = _sorted(frame, _column(frame, column), ascending=not query.sort.startswith("-"))
    rows = frame.iloc[query.offset : query.offset + query.limit].astype(object)
    rows = rows.where(rows.notna(), None)
    columns = [rows[name].tolist() for name in rows.columns]
    return {
        "columns": [str(name) for name in frame.columns],
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "total": len(frame),
        "offset": query.offset,
    }


def _sorted(frame: pd.DataFrame, values: pd.Series, *, ascending: bool) -> pd.DataFrame:
    """Return a table in the order of a column, as text where its values have no order among each other."""
    values = values.reset_index(drop=True)
    try:
        order = values.sort_values(ascending=ascending, kind="stable")
    except (TypeError, ValueError):
        texts = values.map(str, na_action="ignore")
        order = texts.sort_values(ascending=ascending, kind="stable")
    return frame.iloc[order.index]


def _column(frame: pd.DataFrame, column: str) -> pd.Series:
    if column not in frame.columns:
        why = f"There is no column '{column}'; there are {', '.join(map(str, frame.columns[:20]))}."
        raise ApiError(400, why, "invalid_value", column)
    return frame[column]


def _json(value: Any) -> JSONResponse:
    return JSONResponse(jsonable(value))
