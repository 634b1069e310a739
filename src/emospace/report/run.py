"""The run folder as the report reads it: records, and tables that may be absent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import numpy as np

from emospace.errors import unknown
from emospace.records import (
    AlignmentRecord,
    PredictionRecord,
    Results,
    main_space,
    matching,
    norms_of,
    targets_of,
)
from emospace.report.blocks import Block, Reason

if TYPE_CHECKING:
    import pandas as pd

    from emospace.features import FeatureDictionary

P = ParamSpec("P")


class Absent(LookupError):
    """A part of a run cannot be given; the message is the reason a reader sees."""


def or_reason(what: str) -> Callable[[Callable[P, Iterator[Block]]], Callable[P, Iterator[Block]]]:
    """Let a function that yields blocks end with a reason where the run lacks a table it needs."""

    def decorate(build: Callable[P, Iterator[Block]]) -> Callable[P, Iterator[Block]]:
        @wraps(build)
        def built(*args: P.args, **kwargs: P.kwargs) -> Iterator[Block]:
            try:
                yield from build(*args, **kwargs)
            except Absent as absent:
                yield Reason(what, str(absent))

        return built

    return decorate


@dataclass(frozen=True)
class Run:
    """A run folder: `results.json` read, tables read when asked for.

    `frame` gives the records of a kind as a table, `table` the tables stored beside them. The emotion space itself is
    not stored: `rdm` has its dissimilarities (``rdm_en``), `features` its columns.

    Attributes
    ----------
    folder
        Where the study wrote.
    results
        The records.
    """

    folder: Path
    results: Results

    def table(self, name: str, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Return ``tables/<name>.parquet``, shared, or raise `Absent` when it is missing, unreadable or lacks columns.

        Parameters
        ----------
        name
            As the file is called, without folder and ending.
        columns
            Columns it has to have.
        """
        return _read_table(self.folder / "tables" / f"{name}.parquet", tuple(columns))

    def frame(self, kind: str) -> pd.DataFrame:
        """Return the records of a kind as a table: `Results.frame`.

        Parameters
        ----------
        kind
            ``prediction``, ``alignment``, ...
        """
        return self.results.frame(kind)

    @property
    def predictions(self) -> pd.DataFrame:
        """The out-of-fold prediction of each rated word, as a table (``tables/predictions.parquet``)."""
        return self.table("predictions")

    def features(self, language: str) -> FeatureDictionary:
        """Return the features of a language: latents, categories, tests and top words.

        Parameters
        ----------
        language
            One of `languages`.

        Raises
        ------
        EmospaceError
            If the run has none of that language.
        """
        from emospace.features import FeatureDictionary

        table = self.table("features", ["language"])
        if language not in set(table.language):
            raise unknown("language of the run", language, self.languages)
        rows = table[table.language == language].drop(columns="language")
        return FeatureDictionary(language, rows.reset_index(drop=True))

    def rdm(self, name: str) -> pd.DataFrame:
        """Return a square table [n_categories, n_categories] indexed by category on both sides.

        Parameters
        ----------
        name
            As the table is called, such as ``rdm_en`` (the model's) or ``rdm_human_en_valence_arousal``.

        Raises
        ------
        Absent
            If the table is missing, unreadable or not square; a `LookupError`.
        """
        table = self.table(name, ["category"])
        square = table.set_index("category")
        square.index = square.index.astype(str)
        if set(square.index) != set(square.columns):
            raise Absent(f"tables/{name}.parquet does not hold the same categories in rows and columns")
        return square[list(square.index)].astype(float)

    def rdm_of_layer(self, language: str, layer: int) -> pd.DataFrame:
        """Return the dissimilarities of dense states at a layer, a square table as `rdm` gives; NaN where unknown.

        Parameters
        ----------
        language
            One of `languages`.
        layer
            Blocks passed: 0 enters the first block.

        Raises
        ------
        Absent
            If the run has none of that layer; a `LookupError`.
        """
        import pandas as pd

        table = self.table("rdm_layers", ("language", "layer", "a", "b", "dissimilarity"))
        pairs = table[(table["language"] == language) & (table["layer"] == layer)]
        if pairs.empty:
            raise Absent(f"tables/rdm_layers.parquet has no layer {layer} in {language}")
        both = pd.concat([pairs, pairs.rename(columns={"a": "b", "b": "a"})])
        square = both.pivot_table("dissimilarity", index="a", columns="b", aggfunc="first").astype(float)
        names = list(dict.fromkeys([*pairs["a"], *pairs["b"]]))
        square = square.reindex(index=names, columns=names)
        return square.mask(np.eye(len(names), dtype=bool), 0.0)

    def human_structures(self, language: str) -> tuple[str, ...]:
        """Return what human RDMs there are for a language; the valence-arousal one comes first.

        Parameters
        ----------
        language
            One of `languages`; without any there is an empty tuple.
        """
        pattern = re.compile(rf"rdm_human_{re.escape(language)}_(.+)\.parquet")
        names = [
            match[1]
            for path in self.folder.glob("tables/rdm_human_*")
            if (match := pattern.fullmatch(path.name))
        ]
        return tuple(sorted(names, key=lambda against: (against != "valence_arousal", against)))

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages in the order of the manifest, then those that only records name."""
        return self.results.languages

    @property
    def provenance(self) -> str:
        """What the concept-sets are: "curated", "associations", both, or "of unstated provenance"."""
        sources = [source.provenance for source in self.results.manifest.sources if source.kind == "concepts"]
        stated = [*sources, *(record.provenance for record in self.results.features)]
        return " and ".join(dict.fromkeys(name for name in stated if name)) or "of unstated provenance"

    @property
    def title(self) -> str:
        """The model's name without its folders and file ending."""
        return re.sub(r"\.(gguf|safetensors)$", "", self.results.model.model.rstrip("/").split("/")[-1])

    @property
    def main_space(self) -> str:
        """What the emotion space is made of: SAE features, or dense directions in a run without an SAE."""
        return main_space(self.results.alignment)

    def norms(self, language: str) -> tuple[str, ...]:
        """Return the norms predicted in a language, the one with most words first.

        Parameters
        ----------
        language
            One of `languages`.
        """
        return norms_of(self.results.prediction, language)

    def note(self, norms: str) -> str:
        """Return what a reader has to know of a norms set, or an empty string.

        Parameters
        ----------
        norms
            Its name, one of `norms`.
        """
        sources = (source for source in self.results.manifest.sources if source.name == norms)
        return next((source.note for source in sources if source.note), "")

    def targets(self, language: str, norms: str) -> tuple[str, ...]:
        """Return the ratings predicted for a norms set, in the order of the records.

        Parameters
        ----------
        language, norms
            One of `languages`, and the name of norms predicted in it.
        """
        return targets_of(matching(self.results.prediction, language=language, norms=norms))

    def panel(self, language: str, norms: str, target: str, excluded: bool) -> tuple[PredictionRecord, ...]:
        """Return the records of one panel of bars: each feature set's prediction of one rating.

        Parameters
        ----------
        language, norms, target
            One of `languages`, of its norms and of their `targets`.
        excluded
            Whether concept words are left out of the test folds.
        """
        of = {"language": language, "norms": norms, "target": target, "excluded_concepts": excluded}
        return tuple(matching(self.results.prediction, **of))

    def alignment(self, keep: Callable[[AlignmentRecord], bool]) -> tuple[AlignmentRecord, ...]:
        """Return some of the alignment records.

        Parameters
        ----------
        keep
            Record -> whether it is returned.
        """
        return tuple(record for record in self.results.alignment if keep(record))


def load_run(folder: Path | str) -> Run:
    """Read the run folder of a finished study.

    Parameters
    ----------
    folder
        Where `run_study` or `emospace study` wrote.

    Raises
    ------
    EmospaceError
        If it has no `results.json` or one that this version cannot read.
    """
    folder = Path(folder)
    return Run(folder, Results.load(folder / "results.json"))


@lru_cache(maxsize=16)
def _frame(path: Path, _changed: int) -> pd.DataFrame:
    """Return a table, read once for all sections and languages that show it; it is not to be changed."""
    import pandas as pd

    return pd.read_parquet(path)


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    name = f"tables/{path.name}"
    if not path.exists():
        raise Absent(f"the run folder has no {name}")
    try:
        table = _frame(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise Absent(f"{name} cannot be read ({str(error).splitlines()[0]})") from error
    if lacking := [column for column in columns if column not in table.columns]:
        raise Absent(f"{name} lacks the column {', '.join(lacking)}")
    if table.empty:
        raise Absent(f"{name} has no rows")
    return table
