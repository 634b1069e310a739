"""Several languages in one model: how alike their spaces are, pair by pair and as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from emospace.records import SIGNIFICANT, LanguageRSARecord, grouped
from emospace.report import charts, languages_charts
from emospace.report.blocks import Block, Cell, Choice, Figures, Fold, Option, Prose, Reason, Table
from emospace.report.columns import Column, build, ci, counts, p, score, shares
from emospace.report.languages_charts import Dendrogram, Pair, dendrogram_of, ordered
from emospace.report.languages_details import LONG, common, depth, shifts, structures
from emospace.report.run import Absent, Run
from emospace.report.texts import panel, phrase, prose
from emospace.report.wording import (
    DASH,
    MANY,
    STATISTICS,
    count,
    figure,
    language_name,
    listed,
    pair_name,
    plain_name,
    resting,
    space_name,
    span,
    upper_first,
)

MORE = "Common features, categories that sit differently, depth, co-annotation and colexification"
BESIDE = "Co-annotation and colexification"


def by_language(parts: Mapping[str, Sequence[Block]]) -> Iterator[Block]:
    """Yield the blocks of each language: one below another, or to choose from where they are many."""
    given = {language: blocks for language, blocks in parts.items() if blocks}
    if len(given) < MANY:
        for blocks in given.values():
            yield from blocks
        return
    yield Choice(
        "Language", [Option(language, language_name(language), blocks) for language, blocks in given.items()]
    )


def tree_of(run: Run) -> Dendrogram | None:
    """Return the tree of the run's languages, or None where it has none."""
    try:
        table = run.table("language_tree", ("members", "height", "support"))
    except Absent:
        return None
    return dendrogram_of(table, run.languages)


def languages_section(run: Run) -> Iterator[Block]:
    """Yield how alike the languages' spaces are and, of many languages, everything that compares them."""
    records = run.results.language_rsa
    if not records:
        single = len(run.languages) < 2
        why = "the run has one language" if single else "results.json holds no language-language figure"
        yield Reason("Language-language RSA", why)
        if made := list(structures(run)):
            yield Fold(BESIDE, made)
        return
    spoken = tuple(dict.fromkeys(name for record in records for name in (record.a, record.b)))
    if len(spoken) < MANY:
        yield from _one_pair(run)
        return
    order = ordered(spoken, tree_of(run))
    yield Prose(likeness(run))
    yield _matrices(run, order)
    yield _table(run)
    if tree := tree_of(run):
        yield Fold("The clades of the tree", [build("table-tree", CLADES, tree.branches)])
    yield from _more(run, order)


def _of_statistic(run: Run, statistic: str) -> list[LanguageRSARecord]:
    """Return the given figures of pairs of languages, those of the space in which all languages are compared."""
    given = [r for r in run.results.language_rsa if r.statistic == statistic and r.value is not None]
    compared = _compared_in(run)
    return [r for r in given if r.space == compared] or given


def _compared_in(run: Run) -> str:
    """Return what stands for the model where all languages are compared: its own space, else dense states."""
    return next((record.space for record in run.results.families), run.main_space)


def likeness(run: Run) -> tuple[str, ...]:
    """Return in words how alike the languages are, and whether families matter."""
    sentences = [phrase("likeness.figures", what=space_name(_compared_in(run)))]
    if given := _of_statistic(run, "rsa_spearman"):
        low, high = (pick(given, key=lambda r: r.value or 0.0) for pick in (min, max))
        static = [r for r in given if r.baseline is not None]
        reached, below = (
            run.results.mean("language_rsa", name, statistic="rsa_spearman", space=given[0].space)
            for name in ("value", "baseline")
        )
        above = sum((r.value or 0) > (r.baseline or 0) for r in static)
        sentences.append(
            phrase(
                "likeness.pairs",
                n=len(given),
                mean=reached,
                low=low,
                low_pair=pair_name(low.a, low.b),
                high=high,
                high_pair=pair_name(high.a, high.b),
                beyond=sum(r.p is not None and r.p < SIGNIFICANT and (r.value or 0) > 0 for r in given),
                static=phrase("likeness.static", mean=below, above=above, n=len(static)) if static else "",
            )
        )
    for record in run.results.families[:1]:
        tree = "" if record.cophenetic is None else phrase("likeness.tree", record=record)
        sentences.append(
            phrase(
                "likeness.no_family" if record.value is None else "likeness.family", record=record, tree=tree
            )
        )
    return tuple(sentences)


def _one_pair(run: Run) -> Iterator[Block]:
    given = [r for r in run.results.language_rsa if r.statistic == "rsa_spearman" and r.value is not None]
    yield prose("text-languages-one_pair")
    groups = grouped(given, lambda record: record.space)
    panels = [
        panel(
            f"languages-{space}",
            charts.language_pairs(records),
            text="languages",
            heading=upper_first(space_name(space)),
            pairs=[_pair(record) for record in records],
        )
        for space, records in groups.items()
    ]
    if panels:
        yield Figures(panels)
    yield _table(run)
    more = list(_more(run, run.languages))
    if any(not isinstance(block, Reason | Prose) for block in more):
        yield Fold(MORE, more)


def _pair(record: LanguageRSARecord) -> str:
    return phrase("likeness.pair", record=record)


def _more(run: Run, order: Sequence[str]) -> Iterator[Block]:
    for part in (common(run, order), shifts(run), depth(run, order), structures(run)):
        yield from part


def _matrices(run: Run, order: Sequence[str]) -> Figures:
    rsa, fits = _of_statistic(run, "rsa_spearman"), _of_statistic(run, "procrustes")
    values: dict[Pair, float | None] = {(r.a, r.b): r.value for r in rsa}
    static: dict[Pair, float | None] = {(r.a, r.b): r.baseline for r in rsa if r.baseline is not None}
    fitted: dict[Pair, float | None] = {(r.a, r.b): r.value for r in fits}
    lowest = min([0.0, *(value for value in (*values.values(), *static.values()) if value is not None)])
    draw, n, panels = languages_charts.pair_matrix, len(order), []
    if rsa:
        drawn = draw(values, order, lowest)
        panels.append(
            panel("languages-rsa", drawn, resting=resting(rsa, "category"), n=n, extremes=_extremes(rsa))
        )
    if tree := tree_of(run):
        clades = [phrase("likeness.clade", clade=branch) for branch in tree.branches[:-1]]
        seed, drawn = run.results.manifest.seed, languages_charts.dendrogram(tree)
        panels.append(panel("languages-tree", drawn, seed=seed, n=len(tree.order), clades=clades))
    if static:
        name = next(r.baseline_name for r in rsa if r.baseline is not None) or "the baseline"
        drawn = draw(static, order, lowest)
        panels.append(panel("languages-static", drawn, name=name, span=span(rsa, "category"), n=n))
    if fits:
        drawn = draw(fitted, order, min([0.0, *(r.value or 0.0 for r in fits)]))
        panels.append(
            panel(
                "languages-procrustes",
                drawn,
                resting=resting(fits, "category"),
                n=n,
                extremes=_extremes(fits),
            )
        )
    return Figures(panels)


def likeness_figures(run: Run, keys: Sequence[str]) -> Iterator[Block]:
    """Yield some of the figures of how alike many languages are, or the reason there are none."""
    records = _of_statistic(run, "rsa_spearman")
    spoken = tuple(dict.fromkeys(name for record in records for name in (record.a, record.b)))
    if len(spoken) < MANY:
        yield Reason("Languages", "results.json holds no RSA between three languages or more")
        return
    panels = _matrices(run, ordered(spoken, tree_of(run))).panels
    yield Figures([panel for panel in panels if panel.key in keys])


def _extremes(records: Sequence[LanguageRSARecord]) -> str:
    ranked = sorted(records, key=lambda r: r.value or 0.0)
    return f"Lowest: {_pair(ranked[0])}. Highest: {_pair(ranked[-1])}."


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


def _table(run: Run) -> Table:
    records = run.results.language_rsa
    return build("table-languages", PAIRS, records, more_than=LONG, resting=resting(records, "category"))


CLADES = (
    Column("Clade", lambda b: listed([language_name(name) for name in b.members]), wrap=True),
    counts("Languages", lambda b: len(b.members)),
    score("1 − RSA", "height"),
    shares("Support", "support"),
)
