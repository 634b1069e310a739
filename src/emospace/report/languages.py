"""Several languages in one model: how alike their spaces are, what they share and what sits differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from emospace.records import SIGNIFICANT, AlignmentRecord, CategoryShiftRecord, LanguageRSARecord
from emospace.report import charts, languages_charts
from emospace.report.blocks import Block, Choice, Figures, Fold, Option, Panel, Prose, Reason
from emospace.report.languages_charts import Dendrogram, Pair, dendrogram_of, ordered
from emospace.report.languages_tables import (
    depth_table,
    language_table,
    pair_name,
    ranking_table,
    resting,
    shift_table,
    span,
    structure_records,
    structure_table,
    tree_table,
    universal_table,
    weight_table,
)
from emospace.report.run import Absent, Run, or_reason
from emospace.report.texts import panel, prose, say
from emospace.report.wording import (
    MANY,
    figure,
    interval,
    language_name,
    listed,
    number,
    percent,
    space_name,
    upper_first,
)

PLANE = ("a", "b", "category", "a_x", "a_y", "b_x", "b_y")
DEPTHS = ("language", "ratings", "layer", "depth", "rsa", "n")
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
    yield language_table(run)
    if tree := tree_of(run):
        yield Fold("The clades of the tree", [tree_table(tree)])
    yield from _common(run, order)
    yield from _shifts(run)
    yield from _depth(run, order)
    yield from structures(run)


def of_statistic(run: Run, statistic: str) -> list[LanguageRSARecord]:
    """Return the given figures of pairs of languages, those of the space in which all languages are compared."""
    given = [r for r in run.results.language_rsa if r.statistic == statistic and r.value is not None]
    compared = compared_in(run)
    return [r for r in given if r.space == compared] or given


def compared_in(run: Run) -> str:
    """Return what stands for the model where all languages are compared: its own space, else dense states."""
    return next((record.space for record in run.results.families), run.main_space)


def likeness(run: Run) -> tuple[str, ...]:
    """Return in words how alike the languages are, and whether families matter."""
    sentences = [say("likeness.figures", what=space_name(compared_in(run)))]
    if given := of_statistic(run, "rsa_spearman"):
        low, high = (pick(given, key=lambda r: r.value or 0.0) for pick in (min, max))
        static = [r for r in given if r.baseline is not None]
        reached, below = (
            run.results.mean("language_rsa", name, statistic="rsa_spearman", space=given[0].space)
            for name in ("value", "baseline")
        )
        above = sum((r.value or 0) > (r.baseline or 0) for r in static)
        sentences.append(
            say(
                "likeness.pairs",
                n=len(given),
                mean=reached,
                low=low,
                low_pair=pair_name(low.a, low.b),
                high=high,
                high_pair=pair_name(high.a, high.b),
                beyond=sum(r.p is not None and r.p < SIGNIFICANT and (r.value or 0) > 0 for r in given),
                static=say("likeness.static", mean=below, above=above, n=len(static)) if static else "",
            )
        )
    for record in run.results.families[:1]:
        tree = "" if record.cophenetic is None else say("likeness.tree", record=record)
        sentences.append(
            say("likeness.no_family" if record.value is None else "likeness.family", record=record, tree=tree)
        )
    return tuple(sentences)


def _one_pair(run: Run) -> Iterator[Block]:
    given = [r for r in run.results.language_rsa if r.statistic == "rsa_spearman" and r.value is not None]
    yield prose("text-languages-one_pair")
    groups: dict[str, list[LanguageRSARecord]] = {}
    for record in given:
        groups.setdefault(record.space, []).append(record)
    panels = [
        panel(
            f"languages-{space}",
            charts.language_pairs(records),
            text="languages",
            heading=upper_first(space_name(space)),
            alt="Correlation of category structures: " + "; ".join(_pair(r) for r in records) + ".",
        )
        for space, records in groups.items()
    ]
    if panels:
        yield Figures(panels)
    yield language_table(run)
    order = run.languages
    more = [*_common(run, order), *_shifts(run), *_depth(run, order), *structures(run)]
    if any(not isinstance(block, Reason | Prose) for block in more):
        yield Fold(MORE, more)


def _pair(record: LanguageRSARecord) -> str:
    return say("likeness.pair", record=record)


def _matrices(run: Run, order: Sequence[str]) -> Figures:
    rsa, fits = of_statistic(run, "rsa_spearman"), of_statistic(run, "procrustes")
    values: dict[Pair, float | None] = {(r.a, r.b): r.value for r in rsa}
    static: dict[Pair, float | None] = {(r.a, r.b): r.baseline for r in rsa if r.baseline is not None}
    fitted: dict[Pair, float | None] = {(r.a, r.b): r.value for r in fits}
    lowest = min([0.0, *(value for value in (*values.values(), *static.values()) if value is not None)])
    intervals, panels = "intervals and p are in the table below", []

    def matrix(
        key: str, heading: str, caption: str, what: str, of: Mapping[Pair, float | None], low: float
    ) -> Panel:
        alt = f"Heat map of {what.format(f'between {len(order)} languages')}"
        return Panel(f"languages-{key}", heading, caption, alt, languages_charts.pair_matrix(of, order, low))

    if rsa:
        caption = f"{resting(rsa, 'category')}; {intervals}."
        alt = f"RSA {{}}. {_extremes(rsa)}"
        panels.append(matrix("rsa", "RSA of the emotion spaces", caption, alt, values, lowest))
    if tree := tree_of(run):
        clades = "; ".join(
            f"{listed([language_name(name) for name in branch.members])}: {percent(branch.support)}"
            for branch in tree.branches[:-1]
        )
        panels.append(
            panel(
                "languages-tree",
                languages_charts.dendrogram(tree),
                seed=run.results.manifest.seed,
                n=len(tree.order),
                clades=clades,
            )
        )
    if static:
        name = next(r.baseline_name for r in rsa if r.baseline is not None) or "the baseline"
        caption = f"What words carry without any context; the same colours. {upper_first(span([r.n for r in rsa], 'category'))}."
        panels.append(
            matrix("static", f"RSA of {name}, the baseline", caption, f"RSA {{}} in {name}.", static, lowest)
        )
    if fits:
        caption = (
            "The first two principal components of two languages, turned onto one another: 1 where categories lie "
            f"alike. {resting(fits, 'category')}; {intervals}."
        )
        alt, low = f"Procrustes fits {{}}. {_extremes(fits)}", min([0.0, *(r.value or 0.0 for r in fits)])
        panels.append(matrix("procrustes", "Procrustes fit of the planes", caption, alt, fitted, low))
    return Figures(panels)


def likeness_figures(run: Run, keys: Sequence[str]) -> Iterator[Block]:
    """Yield some of the figures of how alike many languages are, or the reason there are none."""
    records = of_statistic(run, "rsa_spearman")
    spoken = tuple(dict.fromkeys(name for record in records for name in (record.a, record.b)))
    if len(spoken) < MANY:
        yield Reason("Languages", "results.json holds no RSA between three languages or more")
        return
    panels = _matrices(run, ordered(spoken, tree_of(run))).panels
    yield Figures([panel for panel in panels if panel.key in keys])


def _extremes(records: Sequence[LanguageRSARecord]) -> str:
    ranked = sorted(records, key=lambda r: r.value or 0.0)
    return f"Lowest: {_pair(ranked[0])}. Highest: {_pair(ranked[-1])}."


def _common(run: Run, order: Sequence[str]) -> Iterator[Block]:
    """Yield the features that languages have in common and the weights of valence and arousal in each."""
    universal = run.results.universal
    weights = run.alignment(lambda r: r.statistic == "rdm_weight")
    panels = []
    if universal:
        most = max(universal, key=lambda r: r.k)
        half = next((r for r in universal if r.k == (most.k + 1) // 2), most)
        panels.append(
            panel(
                "languages-universal",
                languages_charts.universal(universal),
                resting=resting(universal, "language"),
                n_latents=f"{half.n_latents:,}",
                k=half.k,
                expected=number(half.expected, 1),
                n_in_all=f"{most.n_latents:,}",
                all=most.k,
                expected_in_all=number(most.expected, 1),
            )
        )
    if weights:
        given = [w for w in weights if w.value is not None]
        if given:
            panels.append(
                panel("languages-weights", languages_charts.weights(weights, [name for name in order if any(w.language == name for w in weights)]), resting=resting(weights, 'category'), weights=_weights_said(given))
            )  # fmt: skip
    if panels:
        yield Figures(panels, heading="What the languages have in common")
    if universal:
        yield universal_table(universal)
    if weights:
        yield weight_table(weights, order)


def _weights_said(records: Sequence[AlignmentRecord]) -> str:
    return "; ".join(
        f"{language_name(r.language)} {r.target} {figure(r.value)} ({interval(r.ci_low, r.ci_high)})"
        for r in records
    )


def pairs_of(run: Run) -> dict[Pair, list[CategoryShiftRecord]]:
    """Return the category shifts by pair of languages."""
    pairs: dict[Pair, list[CategoryShiftRecord]] = {}
    for record in run.results.category_shift:
        pairs.setdefault((record.a, record.b), []).append(record)
    return pairs


def _shifts(run: Run) -> Iterator[Block]:
    """Yield the categories that sit differently: pair by pair beside the common plane, and over all pairs."""
    pairs = pairs_of(run)
    drawn = {pair: rows for pair, rows in pairs.items() if any(r.excess is not None for r in rows)}
    why, plane = "", None
    try:
        plane = run.table("language_planes", PLANE)
    except Absent as absent:
        why = str(absent)
    panels = []
    if drawn:
        flat = [r for rows in drawn.values() for r in rows if r.excess is not None]
        shifted = sum(bool(r.shifted) for r in flat)
        panels.append(
            panel(
                "languages-shifts",
                languages_charts.shifts(drawn),
                n=span([r.n for r in flat], "other"),
                seed=flat[0].seed,
                shifted=shifted,
                n2=len(flat),
            )
        )
    if plane is not None:
        basic = frozenset(record.category for record in run.results.features if record.basic)
        panels.append(panel("languages-planes", languages_charts.planes(plane, basic)))
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
    if len(drawn) > 1:
        yield ranking_table(run, drawn)
        yield Fold("Every category in every pair of languages", [shift_table(pairs)])
    elif pairs:
        yield shift_table(pairs)


def depth_curves(
    run: Run, order: Sequence[str]
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, int], dict[str, str]]:
    """Return, by language, (relative depth, RSA) with people's distances, the categories, and whose ratings those are.

    A language without ratings of its own is compared with those of the first language that has some.

    Raises
    ------
    Absent
        If the run holds no such figures: people rated the categories of no language, or an earlier version made it.
    """
    table = run.table("rdm_depth", DEPTHS).dropna(subset=["rsa"])
    if table.empty:
        raise Absent("tables/rdm_depth.parquet has no value at any layer")
    parts = {str(language): part.sort_values("layer") for language, part in table.groupby("language")}
    drawn = {language: parts[language] for language in order if language in parts}
    return (
        {language: list(zip(part["depth"], part["rsa"], strict=True)) for language, part in drawn.items()},
        {language: int(part["n"].iloc[0]) for language, part in drawn.items()},
        {language: str(part["ratings"].iloc[0]) for language, part in drawn.items()},
    )


@or_reason("Depth")
def _depth(run: Run, order: Sequence[str]) -> Iterator[Block]:
    curves, sizes, ratings = depth_curves(run, order)
    borrowed = frozenset(language for language in curves if ratings[language] != language)
    lent = ""
    if borrowed:
        source = language_name(ratings[next(iter(borrowed))])
        lent = f" Dotted: languages without ratings of their own, against those of {source}."
    best = {language: max(points, key=lambda p: p[1]) for language, points in curves.items()}
    highest = "; ".join(
        f"{language_name(k)} {figure(r)} at depth {figure(at)}" for k, (at, r) in best.items()
    )
    drawn = panel(
        "languages-depth",
        languages_charts.depth(curves, borrowed),
        n=span(list(sizes.values()), "category"),
        lent=lent,
        highest=highest,
    )
    yield Figures([drawn], heading="Through the depth of the model")
    yield depth_table(curves, sizes, ratings)


def structures(run: Run) -> Iterator[Block]:
    """Yield the comparisons with co-annotations and colexification, or nothing where there are none."""
    if structure_records(run):
        yield structure_table(run)
