"""Ratings read across languages: fitted in one language, tested in another."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from emospace.records import CrossLanguageRecord, Results, cross_tabulated, grouped
from emospace.report import plots
from emospace.report.blocks import Block, Cell, Chart, Figures, Fold, Panel, Prose, Reason, Section
from emospace.report.columns import Column, build, ci, counts, language_column, p, score
from emospace.report.languages import tree_of
from emospace.report.languages_charts import SLANTED, ordered
from emospace.report.languages_details import LONG
from emospace.report.run import Run
from emospace.report.texts import panel, phrase
from emospace.report.wording import CROSSED, DASH, MANY, figure, interval, language_name, listed, span
from emospace.study.summary import COMMON, Transfer, p_of, transfers_of

Records = Sequence[CrossLanguageRecord]
Transfers = Mapping[tuple[str, str], Transfer]

SAME, PERMUTED = "Same language", "Permuted, 97.5%"


def crossing_section(run: Run) -> tuple[Section, ...]:
    """Return the section of ratings read across languages, or none where the run has no such figures."""
    if not run.results.cross_language:
        return ()
    return (Section("transfer", "Ratings read across languages", "Transfer", tuple(_blocks(run))),)


def _blocks(run: Run) -> Iterator[Block]:
    records, transfers = run.results.cross_language, transfers_of(run.results)
    seeds = listed([str(seed) for seed in sorted({r.seed for r in records})])
    every = build("table-transfer-all", RECORDS, records, more_than=LONG, seeds=seeds)
    yield Prose(verdict(run))
    if not transfers:
        yield every
        return
    figures = Figures([_sets_panel(transfers, records, target) for target in _targets(transfers)])
    summary = build("table-transfer", SUMMARY, transfers.values(), strong=lambda t: t.features == "space")
    if len(_languages(records)) < MANY:
        yield from (summary, Fold("Every direction and feature set", [figures, every]))
        return
    yield from (figures, summary)
    yield from matrix_figures(run)
    yield Fold("Every pair and feature set", [every])


def _languages(records: Records) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for record in records for name in (record.train, record.test)))


def matrix_figures(run: Run) -> Iterator[Block]:
    """Yield r from each language to each other, a figure a rating and a variant a feature set, or why there is none."""
    records, transfers = run.results.cross_language, transfers_of(run.results)
    if not transfers:
        yield Reason("From each language to each other", "results.json holds no rating read across languages")
        return
    order = ordered(_languages(records), tree_of(run))
    yield Figures(
        [_matrix_panel(run.results, order, target) for target in _targets(transfers)],
        heading="From each language to each other",
        switch=[(name, CROSSED[name][0]) for name in dict.fromkeys(name for _, name in transfers)],
        switch_label="Read from",
        group="crossed",
    )


def _targets(transfers: Transfers) -> list[str]:
    return list(dict.fromkeys(target for target, _ in transfers))


def verdict(run: Run) -> tuple[str, ...]:
    """Return in words whether ratings cross languages, and which features carry them."""
    records = run.results.cross_language
    transfers = transfers_of(run.results)
    if not transfers:
        reasons = list(dict.fromkeys(record.reason for record in records if record.reason))
        return (phrase("transfer.not_given", reasons=reasons),)
    targets = _targets(transfers)
    main = [transfers[target, "space"] for target in targets if (target, "space") in transfers]
    sentences = [_headline(run, main)] if main else []
    sentences += [_line(t) for t in main]
    sentences += [line for target in targets if (line := _sets_line(run.results, target))]
    return tuple(sentences)


def _headline(run: Run, main: Sequence[Transfer]) -> str:
    beyond, tested = sum(t.beyond for t in main), sum(t.tested for t in main)
    below, compared = sum(t.below for t in main), sum(t.compared for t in main)
    if not tested:
        return phrase("transfer.untested", title=run.title)
    targets = " and ".join(t.target for t in main)
    return phrase(
        "transfer.none" if not beyond else "transfer.some" if beyond < tested else "transfer.all",
        title=run.title,
        beyond=phrase("transfer.beyond", targets=targets, share=_share(beyond, tested)),
        below=phrase("transfer.below", share=_share(below, compared)) if compared else "",
    )


def _share(part: int, whole: int) -> str:
    return f"all {whole}" if part == whole and whole > 1 else f"{part} of {whole}"


def _line(t: Transfer) -> str:
    parts = [phrase("transfer.same", r=t.same)] if t.same is not None else []
    parts += [phrase("transfer.permuted", r=t.permuted)] if t.permuted is not None else []
    parts += [phrase("transfer.people", r=t.reference)] if t.reference is not None else []
    return phrase(
        "transfer.mean",
        t=t,
        span=phrase("transfer.span", t=t) if t.n > 1 else "",
        beside=phrase("transfer.beside", parts=parts) if parts else "",
    )


def _sets_line(results: Results, target: str) -> str:
    """Return how feature sets compare over the directions that all of them have."""
    given = [r for r in results.cross_language if r.target == target and r.r is not None]
    by: dict[str, dict[tuple[str, str], float]] = {
        name: {direction: r.r or 0.0 for direction, r in rows.items()}
        for name, rows in cross_tabulated(given, lambda r: r.features, lambda r: (r.train, r.test)).items()
    }
    common = set.intersection(*map(set, by.values())) if len(by) > 1 else set()
    if "space" not in by or not common:
        return ""
    means = {
        name: results.mean("cross_language", "r", target=target, features=name, directions=COMMON)
        for name in CROSSED
        if name in by
    }
    ranked = sorted(means, key=lambda name: -(means[name] or 0.0))
    sets = [f"{CROSSED[name][0].lower()} {figure(means[name])}" for name in ranked]

    def share(name: str, exceeds: Callable[[float, float], bool]) -> str:
        return _share(sum(exceeds(by[name][pair], by["space"][pair]) for pair in common), len(common))

    sentence = phrase("transfer.sets", target=target, n=len(common), sets=sets)
    if "shared" in by:
        dense = phrase("transfer.dense", share=share("dense", operator.gt)) if "dense" in by else ""
        sentence += phrase("transfer.shared", share=share("shared", operator.ge), dense=dense)
    return sentence


def _people(records: Records) -> str:
    record = next((record for record in records if record.reference is not None), None)
    return phrase("transfer.reference", record=record) if record else ""


def _sets_panel(transfers: Transfers, records: Records, target: str) -> Panel:
    sets = [t for (name, _), t in transfers.items() if name == target]
    rows = [r for r in records if r.target == target and r.r is not None]
    most = max(t.n for t in sets)
    alt = [f"{CROSSED[t.features][0].lower()} {figure(t.r)}, same language {figure(t.same)}" for t in sets]
    return panel(
        f"transfer-{target}",
        _sets_chart(sets),
        text="transfer",
        directions=most,
        n=span(rows, "word"),
        seed=rows[0].seed,
        ranges=" Whiskers are the lowest and highest of them, no intervals." if most > 1 else "",
        people=_people(rows),
        target=target,
        sets=alt,
    )


def _matrix_panel(results: Results, order: Sequence[str], target: str) -> Panel:
    rows = [r for r in results.cross_language if r.target == target]
    given = [r for r in rows if r.r is not None]
    space = [r for r in given if r.features == "space"] or given
    best = max(space, key=lambda r: r.r or 0.0)
    return panel(
        f"transfer-matrix-{target}",
        _matrix_chart(results, given, order),
        text="transfer-matrix",
        same=SAME,
        n=span(given, "word"),
        seed=given[0].seed,
        people=_people(rows),
        target=target,
        best=best,
    )


def _matrix_chart(results: Results, records: Records, order: Sequence[str]) -> Chart:
    """Draw r of one rating, training language [rows] by test language [columns]; one variant a feature set.

    The last two rows are what the same features reach within the test language, and on permuted ratings.
    """
    trains = [name for name in order if any(r.train == name for r in records)]
    tests = [name for name in order if any(r.test == name for r in records)]
    rows = [*(plots.text(language_name(name)) for name in trains), SAME, PERMUTED]
    columns = [plots.text(language_name(name)) for name in tests]
    given = grouped(records, lambda record: str(record.features))

    def square(features: str) -> np.ndarray:
        r = {(r.train, r.test): r.r for r in given[features]}
        of = {"target": records[0].target, "features": features}
        means = [
            [results.mean("cross_language", name, **of, test=test) for test in tests]
            for name in ("same_language", "permuted_high")
        ]
        directions = [[r.get((train, test)) for test in tests] for train in trains]
        return np.array([*directions, *means], dtype=np.float64)

    squares = {name: square(name) for name in CROSSED if name in given}
    top = max(0.2, *(float(np.nanmax(square, initial=0.0)) for square in squares.values()))
    ruled = {"type": "line", "xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": len(rows) - 2.5, "y1": len(rows) - 2.5}  # fmt: skip
    variants = {
        features: plots.heat(
            square,
            rows,
            columns,
            "from %{y}<br>to %{x}<br>r = %{z:.2f}",
            top=top,
            x=plots.axis("test language", **SLANTED),
            margin={"l": 116, "r": 4, "t": 8, "b": 104},
            shapes=[ruled | {"line": {"color": "var(--ink)", "width": 2}}],
        )
        for features, square in squares.items()
    }
    return Chart(variants, height=150 + 30 * len(rows))


def _sets_chart(sets: Sequence[Transfer]) -> Chart:
    """Draw, for each feature set, r within and across languages and on permuted ratings: means, whiskers the range."""
    kinds: tuple[tuple[str, str, str, list[tuple[float | None, float | None, float | None]]], ...] = (
        ("same language", "circle-open", "var(--c-other)", [(t.same, t.same_low, t.same_high) for t in sets]),
        ("across languages", "circle", plots.CONCEPTS, [(t.r, t.low, t.high) for t in sets]),
    )
    traces = []
    for at, (label, symbol, colour, bounds) in enumerate(kinds):
        given = [(y, (v, low, high)) for y, (v, low, high) in enumerate(bounds) if v is not None]
        traces.append(
            plots.marks(
                [v for _, (v, _, _) in given],
                [round(y + 0.24 * (at - 0.5), 2) for y, _ in given],
                [f"{label}: {figure(v)} ({interval(low, high)})" for _, (v, low, high) in given],
                marker={"size": 10, "symbol": symbol, "color": colour, "line": {"width": 2, "color": colour}},
                error_x=plots.whiskers([ends for _, ends in given], colour),
                name=label,
            )
        )
    traces.append(
        plots.marks(
            [np.nan if t.permuted is None else t.permuted for t in sets],
            range(len(sets)),
            "permuted, 97.5%: %{x:.2f}",
            name="permuted, 97.5%",
            marker={
                "size": 15,
                "symbol": "line-ns",
                "line": {"width": 2, "color": plots.MUTED},
                "color": plots.MUTED,
            },
        )
    )
    people = next((t.reference for t in sets if t.reference is not None), None)
    lows = [low for t in sets for low in (t.low, t.same_low) if low is not None]
    drawn = plots.drawing(
        traces,
        plots.axis("r", range=[min([0.0, *lows]) - 0.03, 1.0]),
        plots.rows_axis([CROSSED[t.features][0] for t in sets]),
        plots.BELOW | {"y": -0.3 if len(sets) < 4 else -0.2},
        margin={"l": 126, "t": 26, "b": 92},
        **plots.reference(people, "people", side="auto"),
    )
    return Chart({"": drawn}, height=160 + 38 * len(sets))


def _share_cell(part: str, whole: str) -> Callable[[Transfer], Cell]:
    return lambda t: Cell(
        f"{getattr(t, part)} of {getattr(t, whole)}" if getattr(t, whole) else DASH, getattr(t, part)
    )


FEATURES = Column("Features", lambda r: CROSSED[r.features][0], note=lambda r: CROSSED[r.features][1])
SUMMARY = (
    Column("Rating", "target"),
    FEATURES,
    counts("Directions", "n"),
    score("r, mean", "r"),
    score("Lowest", "low"),
    score("Highest", "high"),
    score("Same language", "same"),
    score("Permuted, 97.5%", "permuted"),
    Column("Beyond permuted", _share_cell("beyond", "tested"), numeric=True),
    Column("Below same language", _share_cell("below", "compared"), numeric=True),
    score("People", "reference"),
)


RECORDS = (
    language_column("From", "train"),
    language_column("To", "test"),
    Column("Rating", "target"),
    FEATURES,
    score("r", "r", note="reason"),
    ci(),
    p("p (FDR)", p_of),
    ci("permuted_low", "permuted_high", "Permuted, 95%"),
    score("Same language", "same_language"),
    score("People", "reference"),
    counts("Words", "n"),
    counts("Features used", "n_features"),
    Column("Norms", lambda r: f"{r.norms_train} → {r.norms_test}"),
)
