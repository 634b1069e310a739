"""The runs of a comparison: read, named apart, the baseline first, and what of them can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emospace.artefacts import file_hash
from emospace.comparison.records import RunRecord
from emospace.errors import EmospaceError, unknown
from emospace.report.run import Run, load_run
from emospace.structure import FEWEST_COMPARED

FEWEST = FEWEST_COMPARED
"""Categories that two RDMs must share: fewer have too few relabellings to test anything by."""


@dataclass(frozen=True)
class NamedRun:
    """A run under the name it has in the comparison."""

    name: str
    run: Run

    @property
    def n_blocks(self) -> int | None:
        """Number of blocks of its model."""
        return self.run.results.model.n_blocks

    def record(self) -> RunRecord:
        """Return what the comparison says of the run."""
        results, sae = self.run.results, self.run.results.sae
        return RunRecord(
            name=self.name,
            folder=str(self.run.folder),
            model=results.model.model,
            layer=results.manifest.layer,
            n_blocks=results.model.n_blocks,
            d_model=results.model.d_model,
            n_parameters=results.model.n_parameters,
            quantisation=results.model.quantisation,
            space=self.run.main_space,
            sae=None if sae is None else sae.architecture or sae.source or "sae",
            n_latents=None if sae is None else sae.n_latents,
            languages=self.run.languages,
            n_categories=len({record.category for record in results.features}),
            seed=results.manifest.seed,
            file_hash=file_hash(self.run.folder / "results.json"),
        )


def read_runs(
    folders: Sequence[Path], baseline: str | None = None, names: Sequence[str] = ()
) -> tuple[NamedRun, ...]:
    """Read run folders, the baseline first and the others in the order given.

    A run goes by the name of its model; where two have the same, by that and as much of its folder as tells them apart;
    or by `names`, where they are given.

    Raises
    ------
    EmospaceError
        If there is one run only, a folder is given twice or holds no finished study, or the baseline is none of them.
    """
    if len(folders) < 2:
        given = str(folders[0]) if folders else "no run"
        raise EmospaceError(
            given, "a comparison needs at least two runs", "Name two or more folders of finished studies."
        )
    places: dict[Path, Path] = {}
    for folder in folders:
        if (first := places.setdefault(folder.resolve(), folder)) is not folder:
            again = f" (as {first})" if str(first) != str(folder) else ""
            raise EmospaceError(
                str(folder),
                f"it is given twice{again}",
                "Name each run once; another run needs another --out.",
            )
    runs = [_read(folder) for folder in folders]
    named = [NamedRun(name, run) for name, run in zip(names or _names(runs), runs, strict=True)]
    if baseline is None:
        return tuple(named)
    wanted = Path(baseline).resolve()
    matching = [item for item in named if baseline == item.name or item.run.folder.resolve() == wanted]
    if not matching:
        raise unknown("run for --baseline", baseline, [str(folder) for folder in folders])
    return (matching[0], *(item for item in named if item is not matching[0]))


def _read(folder: Path) -> Run:
    if not folder.is_dir():
        why = "it is a file" if folder.exists() else "there is no such folder"
        raise EmospaceError(str(folder), why, "Give the folder of a finished `emospace study` (its --out).")
    run = load_run(folder)
    if not run.results.features and not run.results.alignment:
        raise EmospaceError(
            str(folder),
            "it holds no study, only figures of steering or reading",
            "Give the folder of a finished `emospace study`.",
        )
    return run


def _names(runs: Sequence[Run]) -> list[str]:
    titles = [run.title for run in runs]
    paths = [run.folder.resolve() for run in runs]
    names = []
    for title, path in zip(titles, paths, strict=True):
        namesakes = [
            another for name, another in zip(titles, paths, strict=True) if name == title and another != path
        ]
        parts = 1
        while any(another.parts[-parts:] == path.parts[-parts:] for another in namesakes):
            parts += 1
        names.append(f"{title} ({'/'.join(path.parts[-parts:])})" if namesakes else title)
    return names


def common_languages(runs: Sequence[NamedRun], wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the languages that at least two runs have an RDM of, in the order of the runs; of `wanted`, if given.

    Raises
    ------
    EmospaceError
        If there is none, or one that is wanted is in fewer than two runs.
    """
    having = {item.name: rdm_languages(item.run) for item in runs}
    every = list(dict.fromkeys(language for languages in having.values() for language in languages))
    common = [name for name in every if sum(name in languages for languages in having.values()) > 1]
    languages_of = "; ".join(
        f"{name}: {', '.join(languages) or 'none'}" for name, languages in having.items()
    )
    for language in wanted:
        if language not in common:
            n = sum(language in languages for languages in having.values())
            raise EmospaceError(
                f"--languages {language}",
                f"{n or 'none'} of the runs {'have' if n != 1 else 'has'} it, a comparison needs two ({languages_of})",
                f"Choose among {', '.join(common)}." if common else "Study it in two of the runs first.",
            )
    if not common:
        raise EmospaceError(
            ", ".join(having),
            f"no language is in two of the runs ({languages_of})",
            "Run the studies in a common language: emospace study --languages en.",
        )
    return tuple(wanted) if wanted else tuple(common)


def rdm_languages(run: Run) -> tuple[str, ...]:
    """Return the languages of a run that it has a main RDM of."""
    return tuple(
        language
        for language in run.languages
        if (run.folder / "tables" / f"rdm_{language}.parquet").is_file()
    )
