"""Compare finished studies: read the runs, compute every part, write `comparison.json` and `tables/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from emospace.artefacts import write_parquet
from emospace.comparison.depth import (
    Layers,
    best_matches,
    compare_depths,
    equal_depth_curves,
    onset,
    onset_medians,
    read_layers,
)
from emospace.comparison.differences import compare_predictions
from emospace.comparison.figures import side_by_side
from emospace.comparison.geometry import model_rsa
from emospace.comparison.records import (
    Comparison,
    DepthRecord,
    DifferenceRecord,
    Figure,
    ModelRSARecord,
    OnsetRecord,
    RunAnswerRecord,
)
from emospace.comparison.runs import FEWEST, NamedRun, common_languages, rdm_languages, read_runs
from emospace.display import track
from emospace.errors import EmospaceError
from emospace.records import NotComputed
from emospace.report.run import Absent

if TYPE_CHECKING:
    import pandas as pd

Tested = TypeVar("Tested", ModelRSARecord, DifferenceRecord)


@dataclass(frozen=True, eq=False)
class Compared:
    """The records of a comparison and its tables by name.

    ``depth`` has a row a pair of layers of two runs, ``depth_match`` the most similar layer of each layer,
    ``depth_equal`` the RSA at equal relative depth, ``people`` the RSA of each layer with people's ratings; ``rsa``, ``figures`` and ``differences`` are the records as tables.
    """

    comparison: Comparison
    tables: Mapping[str, pd.DataFrame]

    def save(self, out: Path | str) -> Path:
        """Write `comparison.json` and `tables/` into a folder, and return its path."""
        out = Path(out)
        for name, table in self.tables.items():
            write_parquet(out / "tables" / f"{name}.parquet", table)
        self.comparison.save(out / "comparison.json")
        return out


@dataclass
class _Parts:
    depth: list[DepthRecord] = field(default_factory=list)
    onset: list[OnsetRecord] = field(default_factory=list)
    missing: list[NotComputed] = field(default_factory=list)
    tables: dict[str, list[pd.DataFrame]] = field(default_factory=dict)

    def add(self, name: str, table: pd.DataFrame | None) -> None:
        if table is not None:
            self.tables.setdefault(name, []).append(table)


def compare_runs(
    folders: Sequence[Path | str],
    *,
    baseline: str | None = None,
    languages: Sequence[str] = (),
    n_permutations: int = 9999,
    seed: int = 0,
    command: str = "emospace compare",
) -> Compared:
    """Compare finished studies, in every language that at least two of them have.

    Parameters
    ----------
    folders
        Run folders of `emospace study`: of any models, SAEs, widths, layer counts, languages and categories.
    baseline
        Folder or name of the run that the others are held against; the first unless given.
    languages
        ISO 639-1 codes of those to compare in; all that two of the runs have unless given.
    n_permutations
        Relabellings of the categories behind each p; with 9,999 the smallest p is .0001.
    seed
        Decides permutations and resamples.
    command
        The command that makes this comparison again, for its manifest.

    Raises
    ------
    EmospaceError
        If there are fewer than two runs, one is given twice or is not finished, or none share a language and
        enough categories.
    """
    runs = read_runs([Path(folder) for folder in folders], baseline)
    chosen = common_languages(runs, languages)
    options: dict[str, Any] = {"seed": seed, "n_permutations": n_permutations}
    having = {language: [item for item in runs if language in rdm_languages(item.run)] for language in chosen}
    layers = {language: _layers(having[language], language) for language in chosen}

    pairs = [(language, a, b) for language in chosen for a, b in combinations(having[language], 2)]
    before = {
        language: {
            name: layers_read.square(0)
            for name, layers_read in layers[language].items()
            if isinstance(layers_read, Layers) and layers_read.layers[0] == 0
        }
        for language in chosen
    }
    rsa = [
        model_rsa(a, b, language, before[language], **options)
        for language, a, b in track(pairs, "Pairs of runs", "pairs")
    ]
    if all(record.n < FEWEST for record in rsa):
        most = max(record.n for record in rsa)
        raise EmospaceError(
            ", ".join(item.name for item in runs),
            f"no two of them share {FEWEST} categories in a language (at most {most})",
            "Run the studies with the same --categories.",
        )
    parts = _Parts()
    _compare_layers(parts, having, layers, seed, options)
    jobs = [
        (language, norms, target, item)
        for language in chosen
        for norms in runs[0].run.norms(language)
        for target in runs[0].run.targets(language, norms)
        for item in having[language]
        if item is not runs[0] and target in item.run.targets(language, norms)
    ]
    differences = [
        record
        for language, norms, target, item in track(jobs, "Predicted ratings", "ratings")
        for record in compare_predictions(item, runs[0], language, norms, target, seed=seed)
    ]
    parts.missing += _not_predicted(runs, having)
    for item in runs:
        if not any(item in members for members in having.values()):
            why = f"it has none of {', '.join(chosen)}"
            parts.missing.append(NotComputed(what=f"every figure of {item.name}", why=why))
    comparison = Comparison(
        command=command,
        languages=chosen,
        seed=seed,
        n_permutations=n_permutations,
        runs=tuple(item.record() for item in runs),
        rsa=_adjusted(rsa),
        depth=tuple(parts.depth),
        onset=tuple(parts.onset),
        figures=side_by_side(runs, chosen),
        differences=_adjusted(differences),
        answers=tuple(
            RunAnswerRecord(run=item.name, **verdict.record().model_dump())
            for item in runs
            for verdict in item.run.results.verdicts
            if verdict.language in chosen
        ),
        summary=onset_medians(parts.onset),
        not_computed=tuple(dict.fromkeys(parts.missing)),
    )
    return Compared(comparison, _tables(comparison, parts))


def _layers(runs: Sequence[NamedRun], language: str) -> dict[str, Layers | str]:
    """Return the layers of each run, or why it has none."""
    layers_read: dict[str, Layers | str] = {}
    for item in runs:
        try:
            layers_read[item.name] = read_layers(item, language)
        except Absent as reason:
            layers_read[item.name] = str(reason)
    return layers_read


def _compare_layers(
    parts: _Parts,
    having: Mapping[str, Sequence[NamedRun]],
    layers: Mapping[str, Mapping[str, Layers | str]],
    seed: int,
    options: Mapping[str, Any],
) -> None:
    """Fill in the figures by depth, or why they cannot be given."""
    jobs = []
    for language, runs in having.items():
        given = {
            name: layers_read
            for name, layers_read in layers[language].items()
            if isinstance(layers_read, Layers)
        }
        for name, layers_read in layers[language].items():
            if isinstance(layers_read, str):
                why = f"{layers_read}; run the study again with this version"
                parts.missing.append(NotComputed(what=f"layers of {name}", why=why, language=language))
        jobs += [(a, b) for a, b in combinations(given.values(), 2)]
        shared = (
            [
                category
                for category in next(iter(given.values())).categories
                if all(category in layers_read.categories for layers_read in given.values())
            ]
            if given
            else []
        )
        for item in runs:
            if item.name in given:
                record, table = onset(item, given[item.name], shared, **options)
                parts.onset.append(record)
                parts.add("people", table)
    for a, b in track(jobs, "Layers of two runs", "pairs"):
        compared, matrix = compare_depths(a, b, seed=seed)
        parts.depth.append(compared)
        parts.add("depth", matrix)


def _not_predicted(runs: Sequence[NamedRun], having: Mapping[str, Sequence[NamedRun]]) -> list[NotComputed]:
    """Return where a run predicted nothing that the baseline predicted too."""
    missing = []
    for language, members in having.items():
        baseline_norms = set(runs[0].run.norms(language)) if runs[0] in members else set()
        for item in members:
            if item is not runs[0] and not baseline_norms & set(item.run.norms(language)):
                what = f"difference in r between {item.name} and {runs[0].name}"
                has = runs[0] in members
                why = (
                    "they predicted no norms of the same name" if has else f"{runs[0].name} does not have it"
                )
                missing.append(NotComputed(what=what, why=why, language=language))
    return missing


def _adjusted(records: Sequence[Tested]) -> tuple[Tested, ...]:
    """Return the records with p values adjusted over all of them."""
    from emospace.stats import fdr_bh

    q = fdr_bh(np.array([np.nan if record.p is None else record.p for record in records]))
    return tuple(
        record if record.p is None else record.model_copy(update={"p_fdr": float(value)})
        for record, value in zip(records, q, strict=True)
    )


def _tables(comparison: Comparison, parts: _Parts) -> dict[str, pd.DataFrame]:
    import pandas as pd

    tables = {name: pd.concat(frames, ignore_index=True) for name, frames in parts.tables.items()}
    if "depth" in tables:
        tables["depth_match"] = best_matches(tables["depth"])
        tables["depth_equal"] = equal_depth_curves(tables["depth"])
    kept: dict[str, Sequence[Figure]] = {
        "rsa": comparison.rsa,
        "figures": comparison.figures,
        "differences": comparison.differences,
    }
    return tables | {
        name: pd.DataFrame([record.model_dump() for record in records])
        for name, records in kept.items()
        if records
    }
