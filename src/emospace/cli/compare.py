"""`emospace compare`: finished studies side by side."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emospace.cli.options import run_folder, split
from emospace.display import say, table

if TYPE_CHECKING:
    from emospace.comparison import Comparison

SHOWN_FEATURES = ("space", "dense")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of finished studies, two or more.")],
    out: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("runs/compare"),
    baseline: Annotated[
        str | None,
        typer.Option(help="The run that the others are held against: its folder. Else the first."),
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option(help="Comma-separated or repeated; else all that two of the runs have."),
    ] = None,
    permutations: Annotated[int, typer.Option(min=1, help="Relabellings of categories.")] = 9999,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
) -> None:
    """Compare finished studies: base and instruct, small and large, any models, SAEs and languages.

    Writes comparison.json, tables/ and comparison.html. No model is run.

    For example:

    emospace compare runs/base runs/instruct --out runs/base-instruct

    emospace compare runs/small runs/medium runs/large --baseline runs/medium --languages en,zh
    """
    from emospace.comparison import compare_runs, write_page

    chosen = split(languages or ())
    compared = compare_runs(
        runs,
        baseline=baseline,
        languages=chosen,
        n_permutations=permutations,
        seed=seed,
        command=compare_command(runs, out, baseline, chosen, permutations, seed),
    )
    folder = compared.save(run_folder(out))
    show_comparison(compared.comparison)
    say(f"Comparison: {write_page(compared, folder)}")


def compare_command(
    runs: Sequence[Path],
    out: Path,
    baseline: str | None,
    languages: Sequence[str],
    permutations: int,
    seed: int,
) -> str:
    """Return the one line that makes a comparison again."""
    words = ["emospace", "compare", *map(str, runs)]
    words += [] if baseline is None else ["--baseline", baseline]
    words += ["--languages", ",".join(languages)] if languages else []
    words += ["--permutations", str(permutations)] if permutations != 9999 else []
    words += ["--seed", str(seed)] if seed else []
    return shlex.join([*words, "--out", str(out)])


def show_comparison(comparison: Comparison) -> None:
    """Print how alike the runs are, their main figures side by side, and what could not be given."""
    equal = {(r.a, r.b, r.language): r.value for r in comparison.depth}
    table(
        "Categories in one run and another",
        (
            *("language", "run", "and", "categories", "RSA", "95% CI", "p (FDR)"),
            *("before the first block", "given that", "layers at equal depth"),
        ),
        [
            (
                *(r.language, r.a, r.b, r.n, r.value, _span(r.ci_low, r.ci_high)),
                None if r.p_fdr is None else f"{r.p_fdr:.4f}",
                *(r.baseline, r.partial, equal.get((r.a, r.b, r.language))),
            )
            for r in comparison.rsa
        ],
    )
    rows = list(figure_rows(comparison))
    if rows:
        names = [run.name for run in comparison.runs]
        table("Main figures side by side", ("language", "figure", "of", *names), rows)
    tested = [r for r in comparison.differences if r.difference is not None]
    if tested:
        table(
            f"r less that of {comparison.baseline}, on the same words",
            (
                *("run", "language", "norms", "rating", "features", "words"),
                *("difference", "95% CI", "p (FDR)"),
            ),
            [
                (
                    *(r.run, r.language, r.norms, r.target, r.features, r.n, r.difference),
                    _span(r.ci_low, r.ci_high),
                    None if r.p_fdr is None else f"{r.p_fdr:.4f}",
                )
                for r in tested
            ],
        )
    for missing in comparison.not_computed:
        where = f" ({missing.language})" if missing.language else ""
        say(f"Not computed{where}: {missing.what}: {missing.why}")


def figure_rows(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    """Yield one row for each figure of the runs' spaces and dense states, a column a run."""
    found: dict[tuple[str, str, str], dict[str, float | None]] = {}
    for r in comparison.figures:
        if r.of in SHOWN_FEATURES:
            name = " ".join(part for part in (r.kind, r.target, r.against) if part)
            found.setdefault((r.language, name, r.of), {}).setdefault(r.run, r.value)
    for key, values in found.items():
        yield (*key, *(values.get(run.name) for run in comparison.runs))


def _span(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:.2f} to {high:.2f}"
