"""Of several languages: features in common, categories that sit differently, depth, other structures, gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from emospace.records import AlignmentRecord, CategoryShiftRecord, Record, Results, cross_tabulated, grouped
from emospace.report import findings, languages_charts
from emospace.report.blocks import Block, Cell, Figures, Fold, Reason, Table
from emospace.report.columns import (
    Column,
    Gap,
    build,
    ci,
    counts,
    language_column,
    of_first,
    of_named,
    p,
    plain,
    score,
    together,
)
from emospace.report.run import Absent, Run, or_reason
from emospace.report.texts import panel, phrase
from emospace.report.wording import (
    CROSSED,
    DASH,
    figure,
    language_name,
    listed,
    number,
    pair_name,
    plain_name,
    resting,
    span,
    structure_name,
    upper_first,
)

PLANE = ("a", "b", "category", "a_x", "a_y", "b_x", "b_y")
DEPTHS = ("language", "ratings", "layer", "depth", "rsa", "n")
LONG = 30
"""Tables of more rows can be searched."""


UNIVERSAL = (
    Column("Languages, at least", lambda r: Cell(str(r.k), r.k)),
    counts("Latents", "n_latents"),
    plain("Expected", "expected", digits=1),
    Column(
        "95% of draws", lambda r: f"{number(r.expected_low, 0)} to {number(r.expected_high, 0)}", numeric=True
    ),
    plain("Observed / expected", lambda r: r.n_latents / r.expected if r.expected else None, digits=1),
    p("p", "p"),
)


def common(run: Run, order: Sequence[str]) -> Iterator[Block]:
    """Yield the features that languages have in common and the weights of valence and arousal in each."""
    universal = sorted(run.results.universal, key=lambda r: r.k)
    weights = run.alignment(lambda r: r.statistic == "rdm_weight")
    panels = []
    if universal:
        most = universal[-1]
        panels.append(
            panel(
                "languages-universal",
                languages_charts.universal(universal),
                resting=resting(universal, "language"),
                half=next((r for r in universal if r.k == (most.k + 1) // 2), most),
                most=most,
            )
        )
    if given := [w for w in weights if w.value is not None]:
        weighed = [name for name in order if any(w.language == name for w in weights)]
        panels.append(
            panel(
                "languages-weights",
                languages_charts.weights(weights, weighed),
                resting=resting(weights, "category"),
                weights=[phrase("likeness.weight", record=record) for record in given],
            )
        )
    if panels:
        yield Figures(panels, heading="What the languages have in common")
    if universal:
        yield build("table-universal", UNIVERSAL, universal, resting=resting(universal, "language"))
    if weights:
        yield _weight_table(weights, order)


def _weight_table(records: Sequence[AlignmentRecord], order: Sequence[str]) -> Table:
    targets = list(dict.fromkeys(r.target or "" for r in records))
    rows = cross_tabulated(records, lambda r: r.language, lambda r: r.target or "")

    def of_target(name: str) -> tuple[Column, ...]:
        value, reason, low, high, p_of = (
            of_named(name, field) for field in ("value", "reason", "ci_low", "ci_high", "p")
        )
        return (
            score(upper_first(name), value, note=reason),
            ci(low, high, f"95% CI, {name}"),
            p(f"p, {name}", p_of),
        )

    norms = listed(list(dict.fromkeys(r.norms for r in records if r.norms)))
    return build(
        "table-weights",
        (
            language_column(get=of_first("language")),
            *(column for target in targets for column in of_target(target)),
            counts("Categories", lambda row: max(r.n for r in row.values())),
        ),
        [rows[name] for name in (*order, *(name for name in rows if name not in order)) if name in rows],
        norms=norms,
        resting=resting(records, "category"),
    )


def _excess(record: CategoryShiftRecord) -> float:
    return float("-inf") if record.excess is None else record.excess


def _most(records: Sequence[CategoryShiftRecord]) -> CategoryShiftRecord:
    return max(records, key=_excess)


SHIFTS = (
    Column("Languages", lambda r: pair_name(r.a, r.b)),
    Column("Category", "category", plain_name),
    score("Excess", "excess", note="reason"),
    ci(),
    Column("Shifted", lambda r: "yes" if r.shifted else None),
    score("1 − ρ", "value"),
    score("Noise", "noise"),
    counts("Categories", "n"),
)


def shifts(run: Run) -> Iterator[Block]:
    """Yield the categories that sit differently: pair by pair beside the common plane, and over all pairs."""
    pairs = grouped(run.results.category_shift, lambda record: (record.a, record.b))
    flat = [record for record in run.results.category_shift if record.excess is not None]
    drawn = {pair: rows for pair, rows in pairs.items() if any(r.excess is not None for r in rows)}
    panels, why = [], ""
    if drawn:
        chart, n = languages_charts.shifts(drawn), span(flat, "other")
        shifted = sum(bool(r.shifted) for r in flat)
        panels.append(
            panel("languages-shifts", chart, n=n, seed=flat[0].seed, shifted=shifted, n_in_all=len(flat))
        )
    try:
        plane = run.table("language_planes", PLANE)
        basic = frozenset(record.category for record in run.results.features if record.basic)
        panels.append(panel("languages-planes", languages_charts.planes(plane, basic)))
    except Absent as absent:
        why = str(absent)
    if panels:
        keys = dict.fromkeys(key for panel in panels for key in panel.chart.variants)
        switch = [(key, pair_name(*key.split(" "))) for key in keys]
        yield Figures(
            panels,
            heading="Categories that sit differently",
            switch=switch if len(switch) > 1 else (),
            switch_label="Languages",
            group="pair",
        )
    if why and run.results.language_rsa:
        yield Reason("Both languages on one plane", why)
    ranked = [r for records in pairs.values() for r in sorted(records, key=_excess, reverse=True)]
    if len(drawn) > 1:
        yield _ranking_table(run, flat)
        yield Fold("Every category in every pair of languages", [_shift_table(ranked)])
    elif pairs:
        yield _shift_table(ranked)


def _shift_table(ranked: Sequence[CategoryShiftRecord]) -> Table:
    return build(
        "table-shifts", SHIFTS, ranked, strong=lambda r: bool(r.shifted), resting=resting(ranked, "category")
    )


def _ranking_table(run: Run, records: Sequence[CategoryShiftRecord]) -> Table:
    """Return the categories by their mean excess over the pairs of languages."""
    rows = grouped(records, lambda record: record.category)
    means = {name: run.results.mean("category_shift", "excess", category=name) for name in rows}
    return build(
        "table-shift-ranking",
        (
            Column("Category", lambda rows: plain_name(rows[0].category)),
            score("Mean excess", lambda rows: means[rows[0].category]),
            score("Lowest", lambda rows: min(map(_excess, rows))),
            score("Highest", lambda rows: _most(rows).excess),
            Column("Highest in", lambda rows: pair_name(_most(rows).a, _most(rows).b)),
            counts("Shifted in", lambda rows: sum(bool(r.shifted) for r in rows)),
            counts("Pairs", len),
        ),
        sorted(rows.values(), key=lambda rows: -(means[rows[0].category] or 0.0)),
    )


@or_reason("Depth")
def depth(run: Run, order: Sequence[str]) -> Iterator[Block]:
    """Yield how alike people's distances each language's dense states are, layer by layer.

    A language without ratings of its own is compared with those of the first language that has some.
    """
    table = run.table("rdm_depth", DEPTHS).dropna(subset=["rsa"])
    if table.empty:
        raise Absent("tables/rdm_depth.parquet has no value at any layer")
    parts = {str(language): part.sort_values("layer") for language, part in table.groupby("language")}
    drawn = {language: parts[language] for language in order if language in parts}
    curves = {name: [*zip(part["depth"], part["rsa"], strict=True)] for name, part in drawn.items()}
    sizes = {name: int(part["n"].iloc[0]) for name, part in drawn.items()}
    ratings = {name: str(part["ratings"].iloc[0]) for name, part in drawn.items()}
    best = {name: max(points, key=lambda point: point[1]) for name, points in curves.items()}
    borrowed = [language for language in curves if ratings[language] != language]
    chart = panel(
        "languages-depth",
        languages_charts.depth(curves, frozenset(borrowed)),
        n=span(sizes.values(), "category"),
        lent=phrase("likeness.lent", language=ratings[borrowed[0]]) if borrowed else "",
        highest=[
            phrase("likeness.highest", language=k, r=r, depth=figure(at)) for k, (at, r) in best.items()
        ],
    )
    yield Figures([chart], heading="Through the depth of the model")
    yield build(
        "table-depth",
        (
            language_column(get=str),
            score("Highest RSA", lambda language: best[language][1]),
            score("At depth", lambda language: best[language][0]),
            score("Embeddings", lambda language: curves[language][0][1]),
            score("Last layer", lambda language: curves[language][-1][1]),
            language_column("Ratings of", ratings.__getitem__),
            counts("Categories", sizes.__getitem__),
        ),
        curves,
    )


def structures(run: Run) -> Iterator[Block]:
    """Yield each language's RSA with co-annotations and colexification beside static embeddings, where there are any."""
    of_space = run.alignment(lambda r: r.space == run.main_space)
    records = [r for r in of_space if r.statistic == "rsa_spearman" and r.against != "valence_arousal"]
    if not records:
        return
    partial = {(r.language, r.against): r for r in of_space if r.statistic == "rsa_partial"}

    def static(r: AlignmentRecord) -> float | None:
        beside = findings.static_counterpart(run, r)
        return beside[1] if beside else None

    def given(r: AlignmentRecord) -> Cell:
        held = partial.get((r.language, r.against))
        return Cell(figure(held.value), held.value, note=f"given {held.controls}") if held else Cell(DASH)

    held = list(dict.fromkeys(r.controls for r in partial.values() if r.controls))
    constant = f" Partial holds {listed([plain_name(name) for name in held])} constant." if held else ""
    yield build(
        "table-structures",
        (
            language_column(),
            Column("Structure", lambda r: upper_first(structure_name(r.against))),
            score("RSA (Spearman)", "value", note="reason"),
            ci(),
            p("p", "p"),
            score("Static", static),
            Column("Partial", given, numeric=True),
            score("Ceiling", "ceiling", note="ceiling_kind"),
            counts("Categories", "n"),
        ),
        records,
        more_than=LONG,
        constant=constant,
        resting=resting(records, "category"),
    )


def gaps_between_languages(results: Results) -> list[Gap]:
    """Return every null figure between languages with its reason, those of one reason and pair together."""
    likeness = {"rsa_spearman": "language-language RSA", "procrustes": "Procrustes fit of languages"}
    gaps: list[tuple[Record, str, str | None, str]] = [
        *((r, likeness[r.statistic], pair_name(r.a, r.b), "") for r in results.language_rsa),
        *(
            (s, "how differently a category sits", pair_name(s.a, s.b), plain_name(s.category))
            for s in results.category_shift
        ),
        *(
            (
                c,
                f"ratings across languages from {CROSSED[c.features][0].lower()} features",
                f"{language_name(c.train)} → {language_name(c.test)}",
                c.target,
            )
            for c in results.cross_language
        ),
        *((family, "families of languages", None, "") for family in results.families),
    ]
    return together((what, where, r.reason or "", name) for r, what, where, name in gaps if not r.given)
