"""`emospace compare`: finished studies side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from emospace.cli.options import command_line, keep_spec, takes
from emospace.display import Get, add_result, bare, between, say, table, written
from emospace.specs import CompareSpec

if TYPE_CHECKING:
    from emospace.comparison import Comparison
    from emospace.records import NotComputed

SHOWN_FEATURES = ("space", "dense")

DIFFERENCE: Mapping[str, Get] = {
    "run": "run",
    "language": "language",
    "norms": "norms",
    "rating": "target",
    "features": "features",
    "words": "n",
    "difference": "difference",
}
"""Columns of a difference between runs; how its interval and p are written differs with the place."""


@takes(CompareSpec)
def compare(spec: CompareSpec) -> None:
    """Compare finished studies: base and instruct, small and large, any models, SAEs and languages.

    Writes comparison.json, tables/ and comparison.html. No model is run.

    For example:

    emospace compare runs/base runs/instruct --out runs/base-instruct

    emospace compare runs/small runs/medium runs/large --baseline runs/medium --languages en,zh
    """
    from emospace.comparison import compare_runs, write_page

    compared = compare_runs(
        spec.runs,
        **spec.model_dump(exclude={"runs", "out"}),
        command=command_line("emospace compare", spec),
    )
    folder = compared.save(keep_spec(spec, spec.out))
    show_comparison(compared.comparison)
    written("Comparison", write_page(compared, folder))


def show_comparison(comparison: Comparison) -> None:
    """Print how alike the runs are, their main figures side by side, and what could not be given."""
    equal = {(r.a, r.b, r.language): r.value for r in comparison.depth}
    rsa: Mapping[str, Get] = {
        "language": "language",
        "run": "a",
        "and": "b",
        "categories": "n",
        "RSA": "value",
        "95% CI": between(),
        "p (FDR)": lambda r: p_value(r.p_fdr),
        "before the first block": "baseline",
        "given that": "partial",
        "layers at equal depth": lambda r: equal.get((r.a, r.b, r.language)),
    }
    table("Categories in one run and another", *bare(rsa, comparison.rsa))
    rows = list(figure_rows(comparison))
    if rows:
        names = [run.name for run in comparison.runs]
        table("Main figures side by side", ("language", "figure", "of", *names), rows)
    tested = [r for r in comparison.differences if r.difference is not None]
    if tested:
        columns: Mapping[str, Get] = {
            **DIFFERENCE,
            "95% CI": between(),
            "p (FDR)": lambda record: p_value(record.p_fdr),
        }
        table(f"r less that of {comparison.baseline}, on the same words", *bare(columns, tested))
    show_missing(comparison.not_computed)


def show_missing(missing: Iterable[NotComputed]) -> None:
    """Say what could not be computed, and why."""
    records = list(missing)
    add_result("not_computed", [record.model_dump() for record in records])
    for record in records:
        where = f" ({record.language})" if record.language else ""
        say(f"Not computed{where}: {record.what}: {record.why}")


def figure_rows(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    """Yield one row for each figure of the runs' spaces and dense states, a column a run."""
    values_of: dict[tuple[str, str, str], dict[str, float | None]] = {}
    for r in comparison.figures:
        if r.of in SHOWN_FEATURES:
            name = " ".join(part for part in (r.kind, r.target, r.against) if part)
            values_of.setdefault((r.language, name, r.of), {}).setdefault(r.run, r.value)
    for key, values in values_of.items():
        yield (*key, *(values.get(run.name) for run in comparison.runs))


def p_value(p: float | None) -> str | None:
    """Return a p with four digits."""
    return None if p is None else f"{p:.4f}"
