"""What `results.json` holds: records of all kinds, the model, the autoencoder and what they depend on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from emospace.errors import unknown
from emospace.records.figures import (
    AlignmentRecord,
    CategoryShiftRecord,
    ComparisonRecord,
    CrossLanguageRecord,
    FamilyRecord,
    FeatureRecord,
    LanguageRSARecord,
    NormsAgreementRecord,
    PredictionRecord,
    ReadingRecord,
    SideEffectRecord,
    SteeringRecord,
    UniversalRecord,
)
from emospace.records.flat import Explained, Flat, P, Provenance, Record, Saved, to_frame
from emospace.records.verdict import AnswerRecord, Verdict, verdicts

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


class ModelRecord(Record):
    """The language model as it was run; for a GGUF file its hash and quantisation. n counts the words run."""

    source: str | None = None
    revision: str | None = None
    file_hash: str | None = None
    quantisation: str | None = None
    architecture: str | None = None
    n_blocks: int | None = None
    d_model: int | None = None
    n_parameters: int | None = None
    dtype: str | None = None
    device: str | None = None
    licence: str | None = None


class SaeRecord(Record):
    """The sparse autoencoder's card; n counts its training tokens, rates are over the held-out ones."""

    source: str | None = None
    architecture: str | None = None
    n_latents: int | None = None
    l0: float | None = None
    explained_variance: float | None = None
    loss_recovered: float | None = None
    dead_latents: float | None = P
    n_heldout: int | None = None
    corpus: str | None = None
    command: str | None = None
    file_hash: str | None = None
    licence: str | None = None


class Source(Flat):
    """Something the study took from people: a norms set, a concept-set, a category structure or a corpus."""

    kind: Literal["norms", "concepts", "structure", "corpus"]
    name: str
    language: str | None = None
    n: int | None = None
    n_rejected: int | None = None
    provenance: Provenance | None = None
    scale: str | None = None
    licence: str | None = None
    citation: str | None = None
    note: str | None = None
    content_hash: str | None = None


class NotComputed(Flat):
    """A figure or section the study did not give, and why."""

    what: str
    why: str
    language: str | None = None


class Manifest(Record):
    """What the figures depend on: command, seed, inputs, file hashes and versions.

    n counts the distinct words of a study, and the answers of an evaluation of steering. `categories` is the name of the
    list the categories were chosen by, or the path of a file of names, and `category_names` what it stood for.
    """

    command: str
    languages: tuple[str, ...] = ()
    categories: str | None = None
    category_names: tuple[str, ...] = ()
    carriers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        # A manifest without the names was written when the list now called goemotions had the name of another.
        if (
            isinstance(given, dict)
            and given.get("categories") == "paper26"
            and not given.get("category_names")
        ):
            return {**given, "categories": "goemotions, then called paper26"}
        return given

    @property
    def category_list(self) -> str:
        """How many categories, and by which list: ``26 categories (paper26)``; empty where the manifest does not say."""
        if self.categories is None:
            return ""
        name, n = Path(self.categories).name, len(self.category_names)
        return f"{n} {'category' if n == 1 else 'categories'} ({name})" if n else f"categories: {name}"


class SummaryRecord(Explained):
    """The mean or median of one field over records of one kind, as pages state it; n counts the records with a value.

    ``of`` names the records as `Results` does, ``figure`` their field; ``among`` says which of them, field by field. Of
    a way of steering at a cost (``among["group"]`` is ``frontier``) there is a bootstrap interval over prompts, n counts
    the emotions, and `reason` says why a figure is not known, or where doses end that all cost less.
    """

    figure_field = "value"

    statistic: Literal["mean", "median"] = "mean"
    of: str
    figure: str
    among: dict[str, str]
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = Field(ge=0)


def summarised(
    of: str,
    figure: str,
    among: Mapping[str, str],
    values: Iterable[float | None],
    statistic: Literal["mean", "median"] = "mean",
) -> tuple[SummaryRecord, ...]:
    """Return the record of the mean or median of the values that are known and finite; none where there is none.

    Parameters
    ----------
    of, figure, among
        As in `SummaryRecord`.
    """
    finite = [float(value) for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return ()
    value = fmean(finite) if statistic == "mean" else median(finite)
    return (
        SummaryRecord(
            statistic=statistic, of=of, figure=figure, among=dict(among), value=value, n=len(finite)
        ),
    )


class Results(Saved):
    """Everything in `results.json`; each record says in `reason` why its figure is missing, where it is.

    Attributes
    ----------
    format
        Version of the file's layout.
    prediction, comparison
        Ratings predicted from each feature set, and differences between two sets.
    norms_agreement
        Norms of one language against one another, beside the model's predictions on the same words.
    alignment
        The model's categories against people's.
    language_rsa, cross_language, category_shift, universal, families
        Languages against one another: their spaces, ratings read across them, categories that sit differently,
        features of several languages, and language families.
    steering, side_effects, reading
        What vectors do to answers, what they change beside the tone, and how well texts are read.
    features
        How many features each concept-set yields.
    summary
        Means that pages state, and the verdict's answers.
    not_computed
        What could not be given, and why.
    model, sae
        The model as it was run, and its autoencoder (None for dense directions).
    manifest
        Command, seed, sources, file hashes and versions.
    """

    format: int = FORMAT
    prediction: tuple[PredictionRecord, ...] = ()
    comparison: tuple[ComparisonRecord, ...] = ()
    norms_agreement: tuple[NormsAgreementRecord, ...] = ()
    alignment: tuple[AlignmentRecord, ...] = ()
    language_rsa: tuple[LanguageRSARecord, ...] = ()
    cross_language: tuple[CrossLanguageRecord, ...] = ()
    category_shift: tuple[CategoryShiftRecord, ...] = ()
    universal: tuple[UniversalRecord, ...] = ()
    families: tuple[FamilyRecord, ...] = ()
    steering: tuple[SteeringRecord, ...] = ()
    side_effects: tuple[SideEffectRecord, ...] = ()
    reading: tuple[ReadingRecord, ...] = ()
    features: tuple[FeatureRecord, ...] = ()
    summary: tuple[SummaryRecord | AnswerRecord, ...] = ()
    not_computed: tuple[NotComputed, ...] = ()
    model: ModelRecord
    sae: SaeRecord | None = None
    manifest: Manifest

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages in the order of the manifest, then those that only records name."""
        named = [
            record.language
            for records in (self.prediction, self.alignment, self.features)
            for record in records
        ]
        return tuple(dict.fromkeys((*self.manifest.languages, *named)))

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The three answers of each language, as the records give them (`records.verdicts`)."""
        return verdicts(self.languages, self.prediction, self.comparison, self.alignment)

    def frame(self, kind: str) -> pd.DataFrame:
        """Return the records of a kind as a table, a row each.

        Parameters
        ----------
        kind
            A field that holds records: ``prediction``, ``alignment``, ``language_rsa``, ...

        Raises
        ------
        EmospaceError
            If there is no such kind.
        """
        kinds = [name for name in type(self).model_fields if isinstance(getattr(self, name), tuple)]
        if kind not in kinds:
            raise unknown("kind of record", kind, kinds)
        return to_frame(getattr(self, kind))

    def mean(self, of: str, figure: str, **among: str) -> float | None:
        """Return a mean the study gives over its records, None where it gives none.

        Parameters
        ----------
        of, figure
            Kind of the records and their field, such as ``prediction`` and ``r``.
        among
            Which of the records, field by field, as the study's summary names them (`summary`).
        """
        return self._summarised("mean", of, figure, among)

    def median(self, of: str, figure: str, **among: str) -> float | None:
        """Return a median the study gives over its records, None where it gives none.

        Parameters
        ----------
        of, figure, among
            As in `mean`.
        """
        return self._summarised("median", of, figure, among)

    def _summarised(self, statistic: str, of: str, figure: str, among: dict[str, str]) -> float | None:
        wanted = (statistic, of, figure, among)
        means = (s for s in self.summary if isinstance(s, SummaryRecord))
        return next((s.value for s in means if (s.statistic, s.of, s.figure, s.among) == wanted), None)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read `results.json`; raises `EmospaceError` if there is none, or not one as this version writes it.

        Parameters
        ----------
        path
            The file itself; for a run folder see `load_run`.
        """
        hint = "Run the study again into the same folder."
        return cls._load(
            path, hint, "Give the folder of a finished `emospace study`, or run the study first."
        )
