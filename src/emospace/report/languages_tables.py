"""Tables of several languages: pairs, features in common, categories that sit differently, structures, depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emospace.records import (
    AlignmentRecord,
    CategoryShiftRecord,
    LanguageRSARecord,
    Record,
    Results,
    UniversalRecord,
    cross_tabulated,
    grouped,
)
from emospace.report import findings
from emospace.report.blocks import Cell, Table
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
    shares,
    together,
)
from emospace.report.languages_charts import Dendrogram
from emospace.report.run import Run
from emospace.report.wording import (
    CROSSED,
    DASH,
    STATISTICS,
    count,
    counted,
    figure,
    language_name,
    listed,
    number,
    plain_name,
    space_name,
    structure_name,
    upper_first,
)

LONG = 30
"""Tables of more rows can be searched."""


def span(values: Sequence[int], noun: str) -> str:
    """Write counts as one or as a range: ``41 categories``, ``30 to 41 categories``."""
    low, high = min(values), max(values)
    return counted(high, noun) if low == high else f"{low:,} to {counted(high, noun)}"


def resting(records: Sequence[Record], noun: str) -> str:
    """Return what figures rest on: n and seed, permutations where there are."""
    parts = [f"n = {span([record.n for record in records], noun)}"]
    drawn = sorted({n for record in records if (n := getattr(record, "n_permutations", None))})
    parts += [f"{listed([f'{n:,}' for n in drawn])} permutations"] if drawn else []
    parts.append(f"seed {listed([str(seed) for seed in sorted({record.seed for record in records})])}")
    return ", ".join(parts)


def pair_name(a: str, b: str) -> str:
    """Return the name of a pair of languages."""
    return f"{language_name(a)} – {language_name(b)}"


def _baseline(r: LanguageRSARecord) -> Cell:
    name = "" if r.baseline is None else f" {plain_name(r.baseline_name or '')}"
    return Cell(figure(r.baseline) + name, r.baseline)


def _shared(r: LanguageRSARecord) -> Cell:
    if r.space != "sae":
        # Runs of earlier versions counted the dimensions of the residual stream here.
        return Cell(DASH, note="its dimensions are those of the residual stream, the same in every language")
    if r.n_shared is None:
        return Cell(DASH, note="not counted with this figure")
    return Cell(count(r.n_shared), r.n_shared)


PAIRS = (
    Column("Languages", lambda r: pair_name(r.a, r.b)),
    Column("Figure", "statistic", STATISTICS.__getitem__),
    Column("Of", "space", space_name),
    score("Value", "value", note="reason"),
    ci(),
    p("p", "p"),
    score("Ceiling", "ceiling"),
    Column("Baseline", _baseline, numeric=True),
    counts("Same spelling", "n_spelling"),
    score("Without these", "distinct"),
    counts("Categories", "n"),
    Column("Shared features", _shared, numeric=True),
)


def language_table(run: Run) -> Table:
    """Return the language-language figures."""
    records = run.results.language_rsa
    return build("table-languages", PAIRS, records, more_than=LONG, resting=resting(records, "category"))


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


def universal_table(records: Sequence[UniversalRecord]) -> Table:
    """Return how many latents are features in at least k languages, beside what chance gives."""
    return build(
        "table-universal", UNIVERSAL, sorted(records, key=lambda r: r.k), resting=resting(records, "language")
    )


def weight_table(records: Sequence[AlignmentRecord], order: Sequence[str]) -> Table:
    """Return the weights of valence and arousal in each language's RDM."""
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


CLADES = (
    Column("Clade", lambda b: listed([language_name(name) for name in b.members]), wrap=True),
    counts("Languages", lambda b: len(b.members)),
    score("1 − RSA", "height"),
    shares("Support", "support"),
)


def tree_table(tree: Dendrogram) -> Table:
    """Return the clades of the tree from the closest to the whole."""
    return build("table-tree", CLADES, tree.branches)


Pairs = Mapping[tuple[str, str], Sequence[CategoryShiftRecord]]


def _excess(record: CategoryShiftRecord) -> float:
    return float("-inf") if record.excess is None else record.excess


def _most(records: Sequence[CategoryShiftRecord]) -> CategoryShiftRecord:
    return max(records, key=_excess)


def ranking_table(run: Run, pairs: Pairs) -> Table:
    """Return the categories by their mean excess over the pairs of languages."""
    every = (record for records in pairs.values() for record in records if record.excess is not None)
    rows = grouped(every, lambda record: record.category)
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


SHIFTS = (
    PAIRS[0],
    Column("Category", "category", plain_name),
    score("Excess", "excess", note="reason"),
    ci(),
    Column("Shifted", lambda r: "yes" if r.shifted else None),
    score("1 − ρ", "value"),
    score("Noise", "noise"),
    counts("Categories", "n"),
)


def shift_table(pairs: Pairs) -> Table:
    """Return every category of every pair, the most different first."""
    ranked = [r for records in pairs.values() for r in sorted(records, key=_excess, reverse=True)]
    return build(
        "table-shifts", SHIFTS, ranked, strong=lambda r: bool(r.shifted), resting=resting(ranked, "category")
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


def structure_records(run: Run) -> tuple[AlignmentRecord, ...]:
    """Return the RSA of the emotion spaces with co-annotations and colexification."""
    return run.alignment(
        lambda r: (
            r.statistic == "rsa_spearman" and r.space == run.main_space and r.against != "valence_arousal"
        )
    )


def structure_table(run: Run) -> Table:
    """Return each language's RSA with co-annotations and colexification, beside that of static embeddings."""
    partial = {
        (r.language, r.against): r
        for r in run.alignment(lambda r: r.statistic == "rsa_partial" and r.space == run.main_space)
    }
    records = structure_records(run)

    def static(r: AlignmentRecord) -> float | None:
        beside = findings.static_counterpart(run, r)
        return beside[1] if beside else None

    def given(r: AlignmentRecord) -> Cell:
        held = partial.get((r.language, r.against))
        return Cell(figure(held.value), held.value, note=f"given {held.controls}") if held else Cell(DASH)

    held = list(dict.fromkeys(r.controls for r in partial.values() if r.controls))
    constant = f" Partial holds {listed([plain_name(name) for name in held])} constant." if held else ""
    return build(
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


def depth_table(
    curves: Mapping[str, Sequence[tuple[float, float]]], sizes: Mapping[str, int], ratings: Mapping[str, str]
) -> Table:
    """Return where each language's dense RDM is nearest to people's; `ratings` names whose are used."""

    def highest(language: str) -> tuple[float, float]:
        return max(curves[language], key=lambda point: point[1])

    return build(
        "table-depth",
        (
            language_column(get=str),
            score("Highest RSA", lambda language: highest(language)[1]),
            score("At depth", lambda language: highest(language)[0]),
            score("Embeddings", lambda language: curves[language][0][1]),
            score("Last layer", lambda language: curves[language][-1][1]),
            language_column("Ratings of", ratings.__getitem__),
            counts("Categories", sizes.__getitem__),
        ),
        curves,
    )
