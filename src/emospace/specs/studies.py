"""Specifications of commands that measure a model, compare runs, read texts, train autoencoders and serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from emospace.specs.base import (
    ACCESS,
    BOUNDS,
    COMMA,
    MAX_FEATURES,
    MODEL,
    SAE_HELP,
    SEED_HELP,
    SHARD_TOKENS,
    SOURCE_HELP,
    TESTS,
    WHAT,
    CalibratedSource,
    ChatModelSpec,
    ModelSpec,
    Pooling,
    Rule,
    Spec,
    option,
)


class StudySpec(ChatModelSpec):
    """A study of one model in some languages.

    Names are resolved when the study runs: a model by `models.load_model`, norms by `norms.load_norms` (a bundled
    name or a file), structures by `structure.structure_from_file`, an SAE by `sae.load_sae`.
    """

    languages: tuple[str, ...] = option(
        ("en", "zh"), f"{COMMA}; all: every language with concept-sets.", panel=WHAT, comma=True
    )
    norms: tuple[str, ...] = option(
        (),
        "A bundled set or a file; repeatable. Languages without one keep their default set.",
        panel=WHAT,
    )
    structures: tuple[Path, ...] = option(
        (),
        "A file of how similar people find the categories, beside the bundled ones; repeatable.",
        panel=WHAT,
        flag="--structure",
        metavar="FILE",
    )
    categories: str = option(
        "all", "all (42), basic (6), paper26, goemotions, or a file with a name a line.", panel=WHAT
    )
    concepts: Path | None = option(
        None, "Your own concept-sets: a TOML file or a folder of them.", panel=WHAT
    )
    sae: str = option(
        "auto",
        "auto (the shipped one, else none), none (dense directions), train, a SAELens folder, or release:id.",
        panel=MODEL,
    )
    sae_corpus: tuple[Path, ...] = option((), "Running text for --sae train; repeatable.", panel=MODEL)
    sae_tokens: int = option(2_000_000, "Training tokens for --sae train.", panel=MODEL, gt=0)
    pooling: Pooling = option("last", "State of a word: last (its last token) or mean.", panel=MODEL)
    engine: str = option(
        "local",
        "Where words are run and layers fitted: local, ray (this machine's cluster), or ray://host:port.",
        panel=MODEL,
    )
    workers: int | None = option(
        None, "Models the engine ray holds at once; else one a GPU.", panel=MODEL, gt=0
    )
    n_carriers: int = option(3, "Carrier sentences to average over.", panel=MODEL, old="--carriers", gt=0)
    layer: int | None = option(
        None, "Layer of dense directions, or of the SAE to train; else chosen by depth.", panel=MODEL
    )
    rule: Rule = option(
        "standardised", "Effect that orders features: rank, rate or standardised.", panel=TESTS
    )
    q: float = option(0.05, "False discovery rate of feature selection.", panel=TESTS, gt=0, lt=1)
    max_features: int = option(MAX_FEATURES, "Largest number of features in a space.", panel=TESTS, gt=0)
    universal: int | None = option(
        None,
        "Languages in which a shared latent is a feature; else both of two, most of more.",
        panel=TESTS,
        gt=0,
    )
    n_draws: int = option(1000, "Matched draws of outside latents.", panel=TESTS, old="--draws", ge=0)
    n_shuffled: int | None = option(
        None,
        "Shuffled concept-sets; 5 with an SAE and 100 without unless given.",
        panel=TESTS,
        old="--shuffled",
        ge=0,
    )
    n_permutations: int = option(9999, "Relabellings of categories.", panel=TESTS, old="--permutations", gt=0)
    folds: int = option(5, "Folds of the nested cross-validation.", panel=TESTS, ge=3)
    cebra: bool = option(True, "Fit CEBRA embeddings.", panel=TESTS)
    steering: bool = option(
        True,
        "Illustrate steering: six emotions on eight prompts a language, where the model has calibrated vectors.",
        panel=TESTS,
    )
    seed: int = option(0, SEED_HELP, panel=TESTS)

    @field_validator("languages")
    @classmethod
    def _some_language(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if not languages:
            raise ValueError("name at least one language")
        return tuple(dict.fromkeys(languages))


class CompareSpec(Spec):
    """A comparison of finished studies."""

    runs: Annotated[
        tuple[Path, ...],
        option(..., "Run folders of finished studies, two or more.", argument="RUNS", min_length=1),
    ]
    out: Path = option(Path("runs/compare"), "Folder of the comparison.")
    baseline: str | None = option(
        None, "The run that the others are held against: its folder. Else the first."
    )
    languages: tuple[str, ...] = option((), f"{COMMA}; else all that two of the runs have.", comma=True)
    n_permutations: int = option(9999, "Relabellings of categories.", old="--permutations", ge=1)
    seed: int = option(0, SEED_HELP)


class ReadSpec(ModelSpec):
    """Texts to read, and what is shown of them."""

    file: Annotated[Path, option(..., "A UTF-8 text file; - reads standard input.", argument="FILE")]
    by: Literal["text", "line", "token"] = option(
        "line", "text: the file as one; line: each line; token: each token."
    )
    out: Path | None = option(None, "Also write the scores: .csv, .json or .parquet.")
    categories: tuple[str, ...] = option((), f"{COMMA}; without it the highest are shown.", comma=True)
    language: str = option("en", "Whose concept-sets and norms are used.")
    concepts: Path | None = option(None, "Your own concept-sets: a TOML file or a folder of them.")
    sae: str = option("auto", SAE_HELP, panel=MODEL)
    top: int = option(3, "How many categories are shown.", ge=1)


class CheckSpec(ModelSpec):
    """A model to try, with one word."""

    model: str = option("embedded", "embedded, a hub id, a folder or a GGUF file.", argument="NAME")
    sae: str = option("auto", "auto, none, a SAELens folder, or release:id.")
    word: str = option("joy", "A word to run.")
    carrier: str = option("The word is {word}", "Sentence to run it in.")


class CacheSpec(Spec):
    """What of the cache to delete."""

    days: float = option(30, "Keep what was read or written within so many days.", ge=0)
    kinds: tuple[str, ...] = option(
        (), f"{COMMA}, as `emospace cache ls` names them; else those quickly made again.", comma=True
    )
    dry_run: bool = option(False, "Only say what would be deleted.")


class Training(Spec):
    """How an autoencoder is trained, whatever its layer and width."""

    k: int = option(48, "Latents kept for each state.", gt=0)
    n_tokens: int = option(2_000_000, "Distinct training tokens.", old="--tokens", gt=0)
    passes: float = option(1.0, "How often each token is seen.", gt=0)
    n_heldout: int = option(200_000, "Tokens held out for the card's figures.", old="--heldout", gt=0)
    batch: int = option(
        2048, "States in one step.", flag="--batch-size", old="--batch", gt=0, le=SHARD_TOKENS
    )
    learning_rate: float = option(4e-4, "Of Adam.", gt=0)
    aux_loss: float = option(0.0625, "Weight of the loss that revives dead latents.", ge=0)
    seed: int = option(0, SEED_HELP)


class SaeSpec(Training):
    """How an autoencoder of one layer is trained.

    Attributes
    ----------
    n_latents
        Width of the autoencoder; the default is 8 times the residual stream of SmolLM2-135M (576).
    """

    layer: Annotated[int, Field(ge=0, description="Residual stream after this many blocks.")]
    n_latents: int = Field(default=4608, gt=0)


class TrainSpec(Training, ModelSpec):
    """An autoencoder to train: model, texts, and how."""

    DEPTH: ClassVar[float] = 0.6
    EXPANSION: ClassVar[int] = 8

    corpus: Annotated[
        tuple[str, ...],
        option(
            ...,
            "Running text (.txt, .txt.xz, .tsv, .csv, .parquet) and its share of the tokens; repeatable.",
            metavar="FILE[:SHARE]",
            min_length=1,
        ),
    ]
    column: str = option(
        "text",
        "Column with the text in a .tsv, .csv or .parquet; a number from 1 on if it has no header line.",
    )
    layer: int | None = option(None, "Residual stream after this many blocks; else 60% of the depth.", ge=0)
    n_latents: int | None = option(None, "Number of latents; else 8 times d_model.", old="--latents", gt=0)

    def for_model(self, n_blocks: int, d_model: int) -> SaeSpec:
        """Return how the autoencoder is trained for a model, with the layer and width that were left open."""
        given = {name: getattr(self, name) for name in Training.model_fields}
        layer = round(self.DEPTH * n_blocks) if self.layer is None else self.layer
        return SaeSpec(layer=layer, n_latents=self.n_latents or self.EXPANSION * d_model, **given)


class Limits(Spec):
    """The bounds of a request and of all requests together."""

    prompt_tokens: int = option(4096, "Tokens of a prompt.", flag="--max-prompt", panel=BOUNDS, gt=0)
    answer_tokens: int = option(1024, "Tokens of an answer.", flag="--max-tokens", panel=BOUNDS, gt=0)
    body_bytes: int = option(1_000_000, "Bytes of a request.", flag="--max-body", panel=BOUNDS, gt=0)
    rows: int = option(16, "Answers generated at once.", panel=BOUNDS, gt=0)
    queue: int = option(64, "Answers and readings that may wait.", panel=BOUNDS, gt=0)
    seconds: float = option(300.0, "Time of a request, waiting included.", panel=BOUNDS, gt=0)


DRAIN_SECONDS = 8.0
"""Docker ends a container 10 seconds after it told it to stop."""


class ServeSpec(ChatModelSpec):
    """A server of one model."""

    port: int = option(8000, "0: any that is free.", ge=0, le=65535)
    host: str = option("127.0.0.1", "Other than loopback only with --api-key-file.", panel=ACCESS)
    api_key_file: Path | None = option(None, "Keys, one a line; # begins a comment.", panel=ACCESS)
    allow_host: tuple[str, ...] = option(
        (), "A further name of this machine; repeated for several.", panel=ACCESS
    )
    allow_origin: tuple[str, ...] = option(
        (), "An origin whose pages may use the API (https://lab.example); repeated for several.", panel=ACCESS
    )
    drain: float = option(
        DRAIN_SECONDS,
        "Seconds that requests under way have to finish when it is stopped.",
        panel=BOUNDS,
        ge=0,
    )
    runs: Path | None = option(
        None, "A folder of finished studies, shown on the page; else runs, where it is here."
    )
    source: CalibratedSource | None = option(None, SOURCE_HELP, panel=MODEL)
    language: str = option("en", "Whose concepts and norms reading uses.", panel=MODEL)
    reader: bool = option(True, "Read texts too (/v1/read).", panel=MODEL)
    limits: Limits = Limits()
