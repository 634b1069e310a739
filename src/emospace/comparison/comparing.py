"""Compare finished studies: read the runs, compute every part, write `comparison.json` and `tables/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from emospace.artefacts import read_parquet, write_parquet
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
    ComparedFigure,
    Comparison,
    DifferenceRecord,
    ModelRSARecord,
    RunAnswerRecord,
)
from emospace.comparison.runs import FEWEST, NamedRun, common_languages, rdm_languages, read_runs
from emospace.display import track
from emospace.errors import EmospaceError
from emospace.records import NotComputed, to_frame
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

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `EmospaceError` where it is not there whole."""
        comparison = Comparison.load(folder / "comparison.json")
        return cls(
            comparison, {path.stem: read_parquet(path) for path in (folder / "tables").glob("*.parquet")}
        )


def compare_runs(
    folders: Sequence[Path | str],
    *,
    baseline: str | None = None,
    languages: Sequence[str] = (),
    n_permutations: int = 9999,
    seed: int = 0,
    command: str = "emospace compare",
    names: Sequence[str] = (),
    compute: bool = True,
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
    names
        What to call the runs, in the order of `folders`; by their models unless given.
    compute
        Whether to compute what takes long: RSA between runs, layers, differences on the same words. Without, the
        comparison holds the runs' own figures and answers side by side.

    Raises
    ------
    EmospaceError
        If there are fewer than two runs, one is given twice or is not finished, or none share a language and
        enough categories.
    """
    runs = read_runs([Path(folder) for folder in folders], baseline, names)
    chosen = common_languages(runs, languages)
    options: dict[str, Any] = {"seed": seed, "n_permutations": n_permutations}
    having = {language: [item for item in runs if language in rdm_languages(item.run)] for language in chosen}
    beside = Comparison(
        command=command,
        languages=chosen,
        seed=seed,
        n_permutations=n_permutations,
        runs=tuple(item.record() for item in runs),
        figures=side_by_side(runs, chosen),
        answers=tuple(
            RunAnswerRecord(run=item.name, **verdict.record().model_dump())
            for item in runs
            for verdict in item.run.results.verdicts
            if verdict.language in chosen
        ),
    )
    if not compute:
        return Compared(beside, _tables(beside, {}))
    missing: list[NotComputed] = []
    layers = {language: _layers(having[language], language, missing) for language in chosen}

    pairs = [(language, a, b) for language in chosen for a, b in combinations(having[language], 2)]
    before = {
        language: {name: given.square(0) for name, given in layers[language].items() if given.layers[0] == 0}
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
    onsets = [
        onset(item, layers[language][item.name], _shared(layers[language]), **options)
        for language, members in having.items()
        for item in members
        if item.name in layers[language]
    ]
    of_two = [two for given in layers.values() for two in combinations(given.values(), 2)]
    depths = [compare_depths(a, b, seed=seed) for a, b in track(of_two, "Layers of two runs", "pairs")]
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
    missing += _not_predicted(runs, having)
    for item in runs:
        if not any(item in members for members in having.values()):
            why = f"it has none of {', '.join(chosen)}"
            missing.append(NotComputed(what=f"every figure of {item.name}", why=why))
    computed = {
        "rsa": _adjusted(rsa),
        "depth": tuple(record for record, _ in depths),
        "onset": tuple(record for record, _ in onsets),
        "differences": _adjusted(differences),
        "summary": onset_medians([record for record, _ in onsets]),
        "not_computed": tuple(dict.fromkeys(missing)),
    }
    comparison = beside.model_copy(update=computed)
    frames = {"people": [table for _, table in onsets], "depth": [table for _, table in depths]}
    return Compared(comparison, _tables(comparison, frames))


def _layers(runs: Sequence[NamedRun], language: str, missing: list[NotComputed]) -> dict[str, Layers]:
    """Return the layers of each run that has some; why the others have none is added to `missing`."""
    layers = {}
    for item in runs:
        try:
            layers[item.name] = read_layers(item, language)
        except Absent as reason:
            why = f"{reason}; run the study again with this version"
            missing.append(NotComputed(what=f"layers of {item.name}", why=why, language=language))
    return layers


def _shared(layers: Mapping[str, Layers]) -> list[str]:
    """Return the categories that all runs have, in the order of the first."""
    first, *others = layers.values()
    return [name for name in first.categories if all(name in given.categories for given in others)]


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


def _tables(
    comparison: Comparison, frames: Mapping[str, Sequence[pd.DataFrame | None]]
) -> dict[str, pd.DataFrame]:
    import pandas as pd

    tables = {
        name: pd.concat(given, ignore_index=True)
        for name, parts in frames.items()
        if (given := [part for part in parts if part is not None])
    }
    if "depth" in tables:
        tables["depth_match"] = best_matches(tables["depth"])
        tables["depth_equal"] = equal_depth_curves(tables["depth"])
    kept: dict[str, Sequence[ComparedFigure]] = {
        "rsa": comparison.rsa,
        "figures": comparison.figures,
        "differences": comparison.differences,
    }
    return tables | {name: to_frame(records) for name, records in kept.items() if records}
