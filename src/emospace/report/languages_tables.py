"""Tables of several languages: pairs, features in common, categories that sit differently, structures, depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emospace.records import AlignmentRecord, CategoryShiftRecord, LanguageRSARecord, Record, UniversalRecord
from emospace.report import findings
from emospace.report.blocks import Cell, Table
from emospace.report.languages_charts import Dendrogram
from emospace.report.run import Run
from emospace.report.wording import (
    CROSSED,
    DASH,
    STATISTICS,
    count,
    counted,
    figure,
    interval,
    language_name,
    listed,
    number,
    p_value,
    percent,
    plain_name,
    space_name,
    structure_name,
    upper_first,
)

LONG = 30
"""Tables of more rows can be searched."""


def cell_r(value: float | None, note: str | None = None) -> Cell:
    """Return a cell of a correlation, or a difference of two."""
    return Cell(figure(value), value, note=note)


def cell_n(value: int | None) -> Cell:
    """Return a cell of a count."""
    return Cell(count(value), value)


def cell_p(value: float | None) -> Cell:
    """Return a cell of a p value."""
    return Cell(p_value(value), value)


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


def language_table(run: Run) -> Table:
    """Return the language-language figures."""
    columns = (
        *("Languages", "Figure", "Of", "Value", "95% CI", "p"),
        *("Ceiling", "Baseline", "Same spelling", "Without these", "Categories", "Shared features"),
    )
    rows = [
        (
            Cell(pair_name(r.a, r.b)),
            Cell(STATISTICS[r.statistic]),
            Cell(space_name(r.space)),
            cell_r(r.value, r.reason),
            Cell(interval(r.ci_low, r.ci_high)),
            cell_p(r.p),
            cell_r(r.ceiling),
            Cell(
                figure(r.baseline)
                + (f" {plain_name(r.baseline_name or '')}" if r.baseline is not None else ""),
                r.baseline,
            ),
            cell_n(r.n_spelling),
            cell_r(r.distinct),
            cell_n(r.n),
            _shared(r),
        )
        for r in run.results.language_rsa
    ]
    return Table(
        "table-languages",
        "Similarity of the category structures of two languages in the same model. RSA compares all dissimilarities; "
        "the Procrustes fit the first two principal components, turned onto one another. p is from relabelled "
        "categories and not corrected for the number of pairs; the value without the concepts both languages spell alike "
        f"stands beside; {resting(run.results.language_rsa, 'category')}.",
        columns,
        rows,
        numeric=(
            *("Value", "p", "Ceiling", "Baseline", "Same spelling", "Without these"),
            *("Categories", "Shared features"),
        ),
        search="Filter the pairs of languages" if len(rows) > LONG else "",
    )


def _shared(r: LanguageRSARecord) -> Cell:
    if r.space != "sae":
        # Runs of earlier versions counted the dimensions of the residual stream here.
        return Cell(DASH, note="its dimensions are those of the residual stream, the same in every language")
    if r.n_shared is None:
        return Cell(DASH, note="not counted with this figure")
    return cell_n(r.n_shared)


def universal_table(records: Sequence[UniversalRecord]) -> Table:
    """Return how many latents are features in at least k languages, beside what chance gives."""
    columns = ("Languages, at least", "Latents", "Expected", "95% of draws", "Observed / expected", "p")
    rows = [
        (
            Cell(str(r.k), r.k),
            cell_n(r.n_latents),
            Cell(number(r.expected, 1), r.expected),
            Cell(f"{number(r.expected_low, 0)} to {number(r.expected_high, 0)}"),
            _ratio(r),
            cell_p(r.p),
        )
        for r in sorted(records, key=lambda r: r.k)
    ]
    return Table(
        "table-universal",
        "Latents that are emotion features in at least so many languages. Expected: each language's features exchanged "
        f"for latents that fire as often on its words; {resting(records, 'language')}. At least one language counts all "
        "features, which agreement makes fewer.",
        columns,
        rows,
        numeric=columns[1:],
    )


def _ratio(record: UniversalRecord) -> Cell:
    if not record.expected:
        return Cell(DASH)
    return Cell(number(record.n_latents / record.expected, 1), record.n_latents / record.expected)


def weight_table(records: Sequence[AlignmentRecord], order: Sequence[str]) -> Table:
    """Return the weights of valence and arousal in each language's RDM."""
    targets = list(dict.fromkeys(r.target or "" for r in records))
    columns = ["Language"]
    for target in targets:
        columns += [upper_first(target), f"95% CI, {target}", f"p, {target}"]
    columns.append("Categories")
    by = {(r.language, r.target): r for r in records}
    spoken = dict.fromkeys(r.language for r in records)
    rows = []
    for language in sorted(spoken, key=lambda name: order.index(name) if name in order else len(order)):
        cells = [Cell(language_name(language))]
        for target in targets:
            r = by.get((language, target))
            if r is None:
                cells += [Cell(DASH)] * 3
            else:
                cells += [cell_r(r.value, r.reason), Cell(interval(r.ci_low, r.ci_high)), cell_p(r.p)]
        cells.append(cell_n(max(r.n for r in records if r.language == language)))
        rows.append(cells)
    norms = listed(list(dict.fromkeys(r.norms for r in records if r.norms)))
    return Table(
        "table-weights",
        "Standardised weights of distances in valence and in arousal, each with the other held constant, in the ranks of "
        f"a language's RDM. One language's ratings ({norms}) serve all, so that no difference between norms is read as "
        f"one between languages; {resting(records, 'category')}.",
        columns,
        rows,
        numeric=[name for name in columns[1:] if not name.startswith("95%")],
    )


def tree_table(tree: Dendrogram) -> Table:
    """Return the clades of the tree from the closest to the whole."""
    columns = ("Clade", "Languages", "1 − RSA", "Support")
    rows = [
        (
            Cell(listed([language_name(name) for name in branch.members])),
            cell_n(len(branch.members)),
            cell_r(branch.height),
            Cell(percent(branch.support), branch.support),
        )
        for branch in tree.branches
    ]
    return Table(
        "table-tree",
        "Support is the share of trees of resampled categories in which exactly these languages form a clade.",
        columns,
        rows,
        numeric=columns[1:],
        wrap=("Clade",),
    )


Pairs = Mapping[tuple[str, str], Sequence[CategoryShiftRecord]]


def ranking_table(run: Run, pairs: Pairs) -> Table:
    """Return the categories by their mean excess over the pairs of languages."""
    together: dict[str, list[CategoryShiftRecord]] = {}
    for records in pairs.values():
        for record in records:
            if record.excess is not None:
                together.setdefault(record.category, []).append(record)
    means = {name: run.results.mean("category_shift", "excess", category=name) for name in together}
    ranked = sorted(together.items(), key=lambda item: -(means[item[0]] or 0.0))
    columns = ("Category", "Mean excess", "Lowest", "Highest", "Highest in", "Shifted in", "Pairs")
    rows = []
    for category, records in ranked:
        excess = [record.excess or 0.0 for record in records]
        most = max(records, key=lambda record: record.excess or 0.0)
        shifted = sum(bool(record.shifted) for record in records)
        rows.append(
            (
                Cell(plain_name(category)),
                cell_r(means[category]),
                cell_r(min(excess)),
                cell_r(max(excess)),
                Cell(pair_name(most.a, most.b)),
                cell_n(shifted),
                cell_n(len(records)),
            )
        )
    return Table(
        "table-shift-ranking",
        "Categories by how much more differently they sit among the others than the noise of their concept-sets makes "
        "them, mean over pairs of languages. Shifted: pairs whose 95% interval lies above zero; without any difference "
        "about one in forty would. The mean itself has no interval here: its pairs share languages.",
        columns,
        rows,
        numeric=("Mean excess", "Lowest", "Highest", "Shifted in", "Pairs"),
        heading="Over all pairs",
    )


def shift_table(pairs: Pairs) -> Table:
    """Return every category of every pair, the most different first."""
    columns = ("Languages", "Category", "Excess", "95% CI", "Shifted", "1 − ρ", "Noise", "Categories")
    ranked = [
        record
        for records in pairs.values()
        for record in sorted(records, key=lambda r: -(r.excess if r.excess is not None else float("-inf")))
    ]
    rows = [
        (
            Cell(pair_name(r.a, r.b)),
            Cell(plain_name(r.category)),
            cell_r(r.excess, r.reason),
            Cell(interval(r.ci_low, r.ci_high)),
            Cell("yes" if r.shifted else DASH),
            cell_r(r.value),
            cell_r(r.noise),
            cell_n(r.n),
        )
        for r in ranked
    ]
    return Table(
        "table-shifts",
        "1 − ρ is one less the Spearman correlation of a category's dissimilarities to the others in the two languages; "
        "noise what sets of these sizes would give if both agreed; excess their difference, with a 95% interval over "
        f"resampled concepts. Categories: those it is placed among; {resting(ranked, 'category')}.",
        columns,
        rows,
        numeric=("Excess", "1 − ρ", "Noise", "Categories"),
        search="Filter the categories",
        strong=[bool(r.shifted) for r in ranked],
    )


def missing_of_languages(run: Run) -> list[tuple[Cell, Cell, Cell]]:
    """Return every null figure between languages with its reason, those of one reason and pair together."""
    results = run.results
    together: dict[tuple[str, str, str], list[str]] = {}
    for pair in results.language_rsa:
        if pair.value is None:
            what = (
                "language-language RSA" if pair.statistic == "rsa_spearman" else "Procrustes fit of languages"
            )
            together.setdefault((what, pair_name(pair.a, pair.b), pair.reason or ""), [])
    for shift in results.category_shift:
        if shift.excess is None:
            key = ("how differently a category sits", pair_name(shift.a, shift.b), shift.reason or "")
            together.setdefault(key, []).append(plain_name(shift.category))
    for crossed in results.cross_language:
        if crossed.r is None:
            names = f"{language_name(crossed.train)} → {language_name(crossed.test)}"
            what = f"ratings across languages from {CROSSED[crossed.features][0].lower()} features"
            together.setdefault((what, names, crossed.reason or ""), []).append(crossed.target)
    for family in results.families:
        if family.value is None:
            together.setdefault(("families of languages", DASH, family.reason or ""), [])
    return [
        (Cell(f"{what}: {', '.join(names)}" if names else what), Cell(where), Cell(why))
        for (what, where, why), names in together.items()
    ]


def structure_records(run: Run) -> tuple[AlignmentRecord, ...]:
    """Return the RSA of the emotion spaces with co-annotations and colexification."""
    return run.alignment(
        lambda r: (
            r.statistic == "rsa_spearman" and r.space == run.main_space and r.against != "valence_arousal"
        )
    )


def structure_table(run: Run) -> Table:
    """Return each language's RSA with co-annotations and colexification, beside that of static embeddings."""
    columns = (
        "Language",
        "Structure",
        "RSA (Spearman)",
        "95% CI",
        "p",
        "Static",
        "Partial",
        "Ceiling",
        "Categories",
    )
    partial = {
        (r.language, r.against): r for r in run.alignment(lambda r: r.statistic == "rsa_partial" and r.space == run.main_space)
    }  # fmt: skip
    records = structure_records(run)
    rows = []
    for r in records:
        static = findings.static_counterpart(run, r)
        other = partial.get((r.language, r.against))
        rows.append(
            (
                Cell(language_name(r.language)),
                Cell(upper_first(structure_name(r.against))),
                cell_r(r.value, r.reason),
                Cell(interval(r.ci_low, r.ci_high)),
                cell_p(r.p),
                cell_r(static[1] if static else None),
                cell_r(other.value if other else None, f"given {other.controls}" if other else None),
                Cell(figure(r.ceiling), r.ceiling, note=r.ceiling_kind),
                cell_n(r.n),
            )
        )
    held = list(dict.fromkeys(r.controls for r in partial.values() if r.controls))
    given = f" Partial holds {listed([plain_name(name) for name in held])} constant." if held else ""
    return Table(
        "table-structures",
        "RSA of each language's space with people's structures: how often annotators give two emotions to one text "
        f"(co-annotation), and how often languages, of a family or all, have one word for two (colexification).{given} The figures have {resting(records, 'category')}.",
        columns,
        rows,
        numeric=columns[2:3] + columns[4:],
        heading="Against co-annotation and colexification",
        search="Filter the comparisons" if len(rows) > LONG else "",
    )


def depth_table(
    curves: Mapping[str, Sequence[tuple[float, float]]], sizes: Mapping[str, int], ratings: Mapping[str, str]
) -> Table:
    """Return where each language's dense RDM is nearest to people's; `ratings` names whose are used."""
    columns = ("Language", "Highest RSA", "At depth", "Embeddings", "Last layer", "Ratings of", "Categories")
    rows = []
    for language, points in curves.items():
        at, best = max(points, key=lambda point: point[1])
        rows.append(
            (
                Cell(language_name(language)),
                cell_r(best),
                cell_r(at),
                cell_r(points[0][1]),
                cell_r(points[-1][1]),
                Cell(language_name(ratings[language])),
                cell_n(sizes[language]),
            )
        )
    return Table(
        "table-depth",
        "Where dense states are arranged most like people's valence-arousal distances. The highest is the highest of all "
        "layers and not tested as such.",
        columns,
        rows,
        numeric=(*columns[1:5], columns[6]),
    )
