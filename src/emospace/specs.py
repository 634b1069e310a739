"""What each command and its Python function can be asked for: one declaration of every option.

A field's description is the option's help text, and its constraints are those of the option. `cli.options` builds the
command line from these classes, and ``--config FILE`` reads them. This module imports nothing heavy, because
``--help`` needs it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Mode = Literal["relative", "constant"]
Scope = Literal["prompt", "response", "all"]
Op = Literal["add", "clamp", "ablate"]
VectorSource = Literal["mix", "sae", "features", "dense"]
CalibratedSource = Literal["mix", "sae", "dense"]
Pooling = Literal["last", "mean"]
Rule = Literal["rank", "rate", "standardised"]

BASIC = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
MAX_FEATURES = 370
SHARD_TOKENS = 65_536
"""States in one file of a training set."""

MODEL, WHAT, TESTS, OUTPUT = "Model", "What is studied", "Features and tests", "Output"
TONE, DOSE, SAMPLED, JUDGED = "Tone", "How it is applied", "Sampling", "Prompts and judge"
ACCESS, BOUNDS = "Who may ask", "Bounds of requests"

COMMA = "Comma-separated or repeated"


def option(
    default: Any,
    description: str,
    *,
    panel: str | None = None,
    flag: str | None = None,
    old: str | None = None,
    argument: str | None = None,
    metavar: str | None = None,
    comma: bool = False,
    **constraints: Any,
) -> Any:
    """Return a field that is an option of the command line.

    Parameters
    ----------
    panel
        Heading of ``--help`` under which it stands.
    flag
        Its name, where that is not ``--`` and the field's name.
    old
        A former name, still accepted and not shown.
    argument
        For a positional argument: its name in ``--help``.
    comma
        Whether a value given as text holds several, separated by commas; numbers always may.
    constraints
        Those of `pydantic.Field`, such as ``gt=0``.
    """
    shown: Any = {
        "panel": panel,
        "flag": flag,
        "old": old,
        "argument": argument,
        "metavar": metavar,
        "comma": comma,
    }
    return Field(default, description=description, json_schema_extra={"option": shown}, **constraints)


class Spec(BaseModel):
    """Base of all specifications: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(Spec):
    """A model and how it is loaded."""

    model: str = option(
        "embedded",
        "embedded (SmolLM2-135M-Instruct), a hub id, a folder or a GGUF file.",
        panel=MODEL,
    )
    revision: str | None = option(
        None, "Commit, tag or branch of a hub id; a commit pins the model.", panel=MODEL
    )
    dtype: str = option(
        "auto", "float32, bfloat16, float16, or auto: bfloat16 where it is fast.", panel=MODEL
    )
    device: str = option("auto", "auto, a torch device, or map to spread over several GPUs.", panel=MODEL)
    trust_remote_code: bool = option(
        False, "Run code that comes with the model. Only if you trust its authors.", panel=MODEL
    )

    @property
    def loading(self) -> dict[str, Any]:
        """The arguments of `models.load_model` beside the name."""
        names = {"revision", "dtype", "device", "trust_remote_code", "template_args"}
        return {name: getattr(self, name) for name in type(self).model_fields if name in names}


class ChatModelSpec(ModelSpec):
    """A model whose chat template is used."""

    template_args: dict[str, Any] = option(
        {},
        "Argument of the chat template, as enable_thinking=false (JSON, else text); repeatable.",
        flag="--template-arg",
        metavar="NAME=VALUE",
        panel=MODEL,
    )


_SAE = "auto (the shipped one, else none), none, a folder, or release:id."
_SEED = "Of every random draw."


class StudySpec(ChatModelSpec):
    """A study of one model in some languages.

    Names are resolved when the study runs: a model by `models.load_model`, norms by `norms.load_norms` (a bundled
    name or a file), an SAE by `sae.load_sae`.
    """

    languages: tuple[str, ...] = option(
        ("en", "zh"), f"{COMMA}; all: every language with concept-sets.", panel=WHAT, comma=True
    )
    norms: tuple[str, ...] = option(
        (),
        "A bundled set or a file; repeatable. Languages without one keep their default set.",
        panel=WHAT,
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
    seed: int = option(0, _SEED, panel=TESTS)

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
    seed: int = option(0, _SEED)


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
    sae: str = option("auto", _SAE, panel=MODEL)
    top: int = option(3, "How many categories are shown.", ge=1)


class CheckSpec(ModelSpec):
    """A model to try, with one word."""

    model: str = option("embedded", "embedded, a hub id, a folder or a GGUF file.", argument="NAME")
    sae: str = option("auto", "auto, none, a SAELens folder, or release:id.")
    word: str = option("joy", "A word to run.")
    carrier: str = option("The word is {word}", "Sentence to run it in.")


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
    seed: int = option(0, _SEED)


class SaeSpec(Training):
    """How an autoencoder of one layer is trained."""

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


_SOURCE = "Which calibrated vectors: mix, sae or dense; else the first of these that the model has."


class ServeSpec(ChatModelSpec):
    """A server of one model."""

    port: int = option(8000, "0: any that is free.", ge=0, le=65535)
    host: str = option("127.0.0.1", "Other than loopback only with --api-key-file.", panel=ACCESS)
    api_key_file: Path | None = option(None, "Keys, one a line; # begins a comment.", panel=ACCESS)
    allow_host: tuple[str, ...] = option(
        (), "A further name of this machine; repeated for several.", panel=ACCESS
    )
    runs: Path | None = option(
        None, "A folder of finished studies, shown on the page; else runs, where it is here."
    )
    source: CalibratedSource | None = option(None, _SOURCE, panel=MODEL)
    language: str = option("en", "Whose concepts and norms reading uses.", panel=MODEL)
    reader: bool = option(True, "Read texts too (/v1/read).", panel=MODEL)
    limits: Limits = Limits()


class Sampling(Spec):
    """How an answer is sampled: top-k first, then top-p among these; temperature 0 takes the likeliest token."""

    n_tokens: int = option(48, "Tokens of an answer, at most.", panel=SAMPLED, old="--tokens", gt=0)
    least_tokens: int = option(
        0, "Tokens before an answer may end, for models that end at once.", panel=SAMPLED, ge=0
    )
    temperature: float = option(0.8, "0 takes the likeliest token.", panel=SAMPLED, ge=0)
    top_k: int = option(50, "0: all tokens.", panel=SAMPLED, ge=0)
    top_p: float = option(1.0, "Share of the probability.", panel=SAMPLED, gt=0, le=1)
    seed: int = option(0, _SEED, panel=SAMPLED, ge=0)


class ToneSpec(ModelSpec):
    """A tone that calibrated vectors have."""

    emotion: str | None = option(None, '"joy", or weights: "joy:0.7,surprise:0.3".', panel=TONE)
    valence: float | None = option(
        None, "-1 (unpleasant) to 1 (pleasant), in place of --emotion.", panel=TONE
    )
    arousal: float | None = option(None, "-1 (calm) to 1 (excited).", panel=TONE)
    layers: tuple[int, ...] = option((), "Some of the vector's layers: 14,18.", panel=DOSE)
    source: CalibratedSource | None = option(None, _SOURCE, panel=MODEL)


class TextSpec(ToneSpec, ChatModelSpec):
    """A prompt, or a file of them, to be answered in a tone."""

    prompt: str | None = option(
        None,
        "What the model is asked, or a beginning that a base model continues; - reads standard input.",
        argument="PROMPT",
    )
    dose: float | None = option(None, "In units of the norm; without it the calibrated one.", panel=DOSE)
    mode: Mode = option(
        "relative",
        "relative: of each token's norm; constant: of the block's median norm, as exports have it.",
        panel=DOSE,
    )
    scope: Scope | None = option(None, "Which tokens; without it as calibrated.", panel=DOSE)
    op: Op | None = option(
        None, "add; clamp (raise where it is lower); ablate (take the tone out).", panel=DOSE
    )
    window: str | None = option(None, "Tokens of the answer: 0:16, or 4: for all from the fifth.", panel=DOSE)
    sampling: Sampling = Sampling(n_tokens=96)
    beams: int = option(
        1,
        "Beam search of this width in place of sampling, through the model's own generate.",
        panel=SAMPLED,
        ge=1,
    )
    batch: Path | None = option(
        None,
        "A file of prompts, one a line (or JSONL with a field prompt); answers come as JSONL.",
        panel=OUTPUT,
    )
    out: Path | None = option(None, "File for the answers of --batch; else they are printed.", panel=OUTPUT)
    system: str | None = option(None, "System prompt before each prompt.", panel=OUTPUT)
    baseline: bool = option(True, "Show the unsteered answer too.", panel=OUTPUT)


class ExportSpec(ToneSpec):
    """A calibrated vector to write for another engine."""

    out: Annotated[Path, option(..., "File, or folder for baked.", panel=OUTPUT)]
    format: Annotated[
        str,
        option(
            ...,
            "safetensors (with a JSON card), gguf (llama.cpp control vector), baked (a model folder), or lm-eval "
            "(its steer file).",
            panel=OUTPUT,
        ),
    ]
    dose: float | None = option(
        None, "In units of the median norm; without it the calibrated one.", panel=DOSE
    )


_EMOTIONS = f"{COMMA}; without it all there are."
_CONCEPTS = "Concept-sets of your own: a TOML file or a folder."
_PROMPTS = "Prompts of your own: TOML as data/prompts/en.toml, with [stems] for base models."
_LANGUAGE = "Of concepts, prompts and judge."
_JUDGE = "subword, ngram, hf:NAME or llm:MODEL@URL. Not the one that calibrated."
_AT_ONCE = "Answers generated at once."


class CalibrationSpec(ChatModelSpec):
    """What to calibrate, on what, and how much fluency a tone may cost."""

    language: str = option("en", _LANGUAGE, panel=WHAT)
    source: VectorSource = option(
        "mix", "mix (SAE at its block, dense elsewhere), sae, or dense.", panel=WHAT
    )
    emotions: tuple[str, ...] = option((), _EMOTIONS, panel=WHAT, comma=True)
    concepts: Path | None = option(None, _CONCEPTS, panel=WHAT)
    norms: str | None = option(
        None, "Name or file, for the axes valence and arousal; else the language's default.", panel=WHAT
    )
    sae: str = option("auto", _SAE, panel=WHAT)
    layers: tuple[int, ...] = option(
        (), "Blocks to steer: 10,14,18; else a third to three fifths deep.", panel=DOSE
    )
    judge: str = option(
        "ngram",
        "ngram, subword, hf:NAME or llm:MODEL@URL. Not the one that evaluates.",
        panel=JUDGED,
    )
    budget: float = option(
        2.0, "Largest perplexity ratio: median over the basic six of their medians.", panel=DOSE, gt=1
    )
    ceiling: float = option(3.0, "Largest median perplexity ratio of any emotion.", panel=DOSE, gt=1)
    doses: tuple[float, ...] = option(
        (0.5, 0.65, 0.8, 0.95), "Relative doses tried: 0.6,0.8,1.", panel=DOSE, min_length=1
    )
    feature_doses: tuple[float, ...] = option(
        (0.3, 0.4, 0.5), "Relative doses tried with the SAE's features alone.", panel=DOSE
    )
    constant_doses: tuple[float, ...] = option((0.25, 0.35, 0.5, 0.7), "Constant doses tried.", panel=DOSE)
    contrasts: tuple[float, ...] = option(
        (0.0, 0.5),
        "Parts (0 to 1) of what all emotions share that are taken out, each tried.",
        panel=DOSE,
        min_length=1,
    )
    cleaned: bool = option(True, "Take directions common to all running text out of the vectors.", panel=DOSE)
    prompts: Path | None = option(None, _PROMPTS, panel=JUDGED)
    n_prompts: int = option(24, "Calibration prompts.", panel=JUDGED, gt=0)
    n_tokens: int = option(48, "Tokens of an answer.", panel=JUDGED, old="--tokens", gt=0)
    least_tokens: int = option(
        0, "Tokens before an answer may end, for models that end at once.", panel=JUDGED, ge=0
    )
    batch_size: int = option(48, _AT_ONCE, panel=OUTPUT, gt=0)
    seed: int = option(0, _SEED, panel=OUTPUT)

    @field_validator("doses", "feature_doses", "constant_doses")
    @classmethod
    def _ascending(cls, doses: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < dose < math.inf for dose in doses):
            raise ValueError("a dose is a positive number")
        return tuple(sorted(set(doses)))


class SteeringSpec(ChatModelSpec):
    """A study of what steering does to a model's answers.

    Doses are multiples of each vector's calibrated dose, which is always among them. `source` and `baselines` name
    calibrated vectors for the command line; `evaluation.running.run_evaluation` is given them loaded.
    """

    emotions: tuple[str, ...] = option((), _EMOTIONS, panel=WHAT, comma=True)
    language: str = option("en", _LANGUAGE, panel=WHAT)
    concepts: Path | None = option(None, _CONCEPTS, panel=WHAT)
    norms: str | None = option(
        None, "Ratings of the words of answers; else the language's default.", panel=WHAT
    )
    source: CalibratedSource | None = option(None, _SOURCE, panel=MODEL)
    baselines: Literal["dense", "sae", "both", "none"] = option(
        "dense", "Other calibrated vectors to hold beside: dense, sae, both, or none.", panel=DOSE
    )
    baselines_for: Literal["basic", "all"] = option(
        "basic", "basic or all: emotions the baselines are tried on.", panel=DOSE
    )
    mode: Mode = option("relative", "Mode of the dose.", panel=DOSE)
    doses: tuple[float, ...] = option(
        (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
        "Multiples of each calibrated dose: 0.5,1,1.5. The basic six take all, others the neighbours of 1.",
        panel=DOSE,
    )
    random_doses: tuple[float, ...] = option(
        (0.75, 1.0, 1.5, 2.5), "Multiples of the median dose, for random directions.", panel=DOSE
    )
    n_random: int = option(5, "Random directions.", panel=DOSE, old="--random", ge=0)
    n_shuffled: int = option(2, "Shuffled concept-sets.", panel=DOSE, old="--shuffled", ge=0)
    instruction: str | None = option(
        None,
        'Of the prompt-only baseline, after the prompt or around {prompt}: "Answer with {label}."',
        panel=DOSE,
    )
    judge: str = option("subword", _JUDGE, panel=JUDGED)
    prompts: Path | None = option(None, _PROMPTS, panel=JUDGED)
    n_prompts: int = option(40, "Evaluation prompts, the first of the file.", panel=JUDGED, gt=0)
    sampling: Sampling = Sampling()
    factual_tokens: int = option(24, "Tokens of an answer to a factual question.", panel=JUDGED, gt=0)
    token_cap: int = option(500_000, "Generated tokens in all, at most.", panel=OUTPUT, gt=0)
    batch_size: int = option(40, _AT_ONCE, panel=OUTPUT, gt=0)
    seed: int = option(0, _SEED, panel=OUTPUT, ge=0)
    out: Path = option(
        Path("runs/steering"), "Run folder; a study that stopped goes on from it.", panel=OUTPUT
    )

    @field_validator("doses", "random_doses")
    @classmethod
    def _sorted(cls, doses: tuple[float, ...]) -> tuple[float, ...]:
        if any(not dose > 0 for dose in doses):
            raise ValueError(
                "a dose is a positive multiple of the calibrated one; unsteered answers are always there"
            )
        return tuple(sorted({*doses, 1.0}))

    def neighbours(self) -> tuple[float, ...]:
        """Return the calibrated dose and the doses next to it."""
        place = self.doses.index(1.0)
        return self.doses[max(place - 1, 0) : place + 2]


class CrossingSpec(ChatModelSpec):
    """A study of steering in which the concepts' language and the answers' language differ."""

    sources: tuple[str, ...] = option(
        (),
        "Languages whose concepts make the vectors, comma-separated; else all with concept-sets.",
        panel=WHAT,
        comma=True,
    )
    outputs: tuple[str, ...] = option(
        (),
        "Languages of the answers; else all with prompts that the judge is fit for.",
        panel=WHAT,
        comma=True,
    )
    emotions: tuple[str, ...] = option(BASIC, f"{COMMA}; without it the basic six.", panel=WHAT, comma=True)
    concepts: Path | None = option(None, _CONCEPTS, panel=WHAT)
    source: CalibratedSource | None = option(None, _SOURCE, panel=MODEL)
    mode: Mode = option("relative", "Mode of the dose.", panel=DOSE)
    factor: float = option(
        1.0, "Of the dose calibrated for each emotion, the same for all languages.", panel=DOSE, gt=0
    )
    n_random: int = option(3, "Random directions at each dose and place.", panel=DOSE, old="--random", ge=0)
    judge: str = option("subword", _JUDGE, panel=JUDGED)
    least_auroc: float = option(
        0.70,
        "Held-out AUROC, mean of the basic six, that the judge needs in a language; 0: any.",
        panel=JUDGED,
        ge=0,
        le=1,
    )
    n_prompts: int = option(24, "Evaluation prompts a language, the first of its file.", panel=JUDGED, gt=0)
    sampling: Sampling = Sampling()
    token_cap: int = option(500_000, "Generated tokens in all, at most.", panel=OUTPUT, gt=0)
    batch_size: int = option(40, _AT_ONCE, panel=OUTPUT, gt=0)
    seed: int = option(0, _SEED, panel=OUTPUT, ge=0)
    out: Path = option(
        Path("runs/steering-languages"),
        "Run folder; a study that stopped goes on from it.",
        panel=OUTPUT,
    )

    def in_language(self, language: str) -> SteeringSpec:
        """Return the study of the answers in one language."""
        given = {
            name: getattr(self, name) for name in type(self).model_fields if name in SteeringSpec.model_fields
        }
        return SteeringSpec(**given, language=language, doses=(1.0,), random_doses=(1.0,))
