"""Specifications of commands that set a tone: an answer, an export, calibration and its studies."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from emospace.specs.base import (
    BASIC,
    COMMA,
    CONCEPTS_OF,
    DOSE,
    JUDGED,
    MODEL,
    OUTPUT,
    SAE_HELP,
    SAMPLED,
    SEED_HELP,
    SOURCE_HELP,
    TONE,
    WHAT,
    CalibratedSource,
    ChatModelSpec,
    Mode,
    ModelSpec,
    Op,
    Scope,
    Spec,
    VectorSource,
    option,
)
from emospace.specs.guidance import Guidance


class Sampling(Spec):
    """How an answer is sampled: top-k first, then top-p among these; temperature 0 takes the likeliest token."""

    n_tokens: int = option(48, "Tokens of an answer, at most.", panel=SAMPLED, old="--tokens", gt=0)
    least_tokens: int = option(
        0, "Tokens before an answer may end, for models that end at once.", panel=SAMPLED, ge=0
    )
    temperature: float = option(0.8, "0 takes the likeliest token.", panel=SAMPLED, ge=0)
    top_k: int = option(50, "0: all tokens.", panel=SAMPLED, ge=0)
    top_p: float = option(1.0, "Share of the probability.", panel=SAMPLED, gt=0, le=1)
    seed: int = option(0, SEED_HELP, panel=SAMPLED, ge=0)


class ToneSpec(ModelSpec):
    """A tone that calibrated vectors have, or another direction."""

    emotion: str | None = option(
        None,
        '"joy", sums: "joy + 0.5*love", "joy - surprise" (or "joy:0.7,surprise:0.3"), and "anger | fear": anger with '
        "fear projected out.",
        panel=TONE,
    )
    valence: float | None = option(
        None, "-1 (unpleasant) to 1 (pleasant), in place of --emotion.", panel=TONE
    )
    arousal: float | None = option(None, "-1 (calm) to 1 (excited).", panel=TONE)
    latent: int | None = option(
        None,
        "A latent of the model's autoencoder by its number, in place of a tone; takes --dose.",
        panel=TONE,
    )
    direction: Path | None = option(
        None,
        "A vector's file, .safetensors, .npy or .gguf, in place of a tone; takes --dose, and --layers where it names none.",
        panel=TONE,
        old="--vector",
    )
    sae: str = option("auto", f"Of --latent: {SAE_HELP}", panel=MODEL)
    layers: tuple[int, ...] = option(
        (), "Some of the vector's layers: 14,18; of a --direction without layers, where it acts.", panel=DOSE
    )
    source: CalibratedSource | None = option(None, SOURCE_HELP, panel=MODEL)
    concept_language: str | None = option(None, f"{CONCEPTS_OF} English, else any there are.", panel=MODEL)


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
    when: str | None = option(
        None,
        'Steer an answer only once this is read in its prompt or in what is said so far: "anger > 0.5" (in standard '
        'deviations, as emospace read), "valence < 0".',
        panel=DOSE,
    )
    steer_thought: bool = option(
        True,
        "Steer a reasoning model's thought as all else; --no-steer-thought: its answer alone.",
        panel=DOSE,
    )
    guidance: Guidance = Guidance()
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
            "safetensors (with a JSON card), gguf (llama.cpp, repeng), baked (a model folder), lm-eval (its "
            "steer file), saklas or steering-vectors.",
            panel=OUTPUT,
        ),
    ]
    dose: float | None = option(
        None, "In units of the median norm; without it the calibrated one.", panel=DOSE
    )


class ShowSpec(ToneSpec):
    """A vector to look into."""

    top: int = option(10, "Tokens, latents and emotions shown.", panel=OUTPUT, ge=1)


_EMOTIONS = f"{COMMA}; without it all there are."
_CONCEPTS = "Concept-sets of your own: a TOML file or a folder."
_PROMPTS = "Prompts of your own: TOML as data/prompts/en.toml, with its table 'stems' for base models."
_LANGUAGE = "Of concepts, prompts and judge."
_JUDGE = "subword, ngram, hf:NAME, llm:MODEL@URL, or several (ngram+subword). Not the one that calibrated."
_AT_ONCE = "Answers generated at once."


class CalibrationSpec(ChatModelSpec):
    """What to calibrate, on what, and how much a tone may cost.

    Attributes
    ----------
    guidance
        How tokens are chosen between the steered and the unsteered model while doses of mode ``relative`` are tried; the
        vectors keep it.
    """

    language: str = option("en", _LANGUAGE, panel=WHAT)
    source: VectorSource = option(
        "mix", "mix (SAE at its block, dense elsewhere), sae, or dense.", panel=WHAT
    )
    emotions: tuple[str, ...] = option((), _EMOTIONS, panel=WHAT, comma=True)
    concepts: Path | None = option(None, _CONCEPTS, panel=WHAT)
    norms: str | None = option(
        None, "Name or file, for the axes valence and arousal; else the language's default.", panel=WHAT
    )
    sae: str = option("auto", SAE_HELP, panel=WHAT)
    layers: tuple[int, ...] = option(
        (), "Blocks to steer: 10,14,18; else a third to three fifths deep.", panel=DOSE
    )
    judge: str = option(
        "ngram",
        "ngram, subword, hf:NAME or llm:MODEL@URL. Not the one that evaluates.",
        panel=JUDGED,
    )
    budget: float = option(
        1.5,
        "Largest perplexity ratio: median over the basic six of their medians.",
        panel=DOSE,
        flag="--budget-perplexity",
        old="--budget",
        gt=1,
    )
    ceiling: float = option(
        2.0,
        "Largest median perplexity ratio of any emotion.",
        panel=DOSE,
        gt=1,
        validate_default=True,
    )
    budget_facts: float = option(
        0.0,
        "Part of the factual questions answered rightly unsteered that stay right at least, mean over the basic six.",
        panel=DOSE,
        ge=0,
        le=1,
    )
    # The most tone at perplexity ratio 1.5, and most of the facts, of the ways tried (docs/results/steering-ways.md).
    guidance: Guidance = Guidance(
        weight=1.0, plausible=0.0, certainty=0.25, sharpen=1.5, candidates=4, block=10
    )
    doses: tuple[float, ...] = option(
        (0.5, 0.75, 1.0, 1.25), "Relative doses tried: 0.6,0.8,1.", panel=DOSE, min_length=1
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
    others: Literal["tried", "median"] = option(
        "tried",
        "Emotions beyond the basic six: tried at two doses, or given the median dose of the six.",
        panel=DOSE,
    )
    cleaned: bool = option(True, "Take directions common to all running text out of the vectors.", panel=DOSE)
    prompts: Path | None = option(None, _PROMPTS, panel=JUDGED)
    n_prompts: int = option(24, "Calibration prompts.", panel=JUDGED, gt=0)
    n_factual: int = option(
        20, "Factual questions of calibration, the first of the file.", panel=JUDGED, ge=0
    )
    factual_tokens: int = option(16, "Tokens of an answer to a factual question.", panel=JUDGED, gt=0)
    n_tokens: int = option(48, "Tokens of an answer.", panel=JUDGED, old="--tokens", gt=0)
    least_tokens: int = option(
        0, "Tokens before an answer may end, for models that end at once.", panel=JUDGED, ge=0
    )
    batch_size: int = option(48, _AT_ONCE, panel=OUTPUT, gt=0)
    seed: int = option(0, SEED_HELP, panel=OUTPUT)

    @field_validator("ceiling")
    @classmethod
    def _not_below_the_budget(cls, ceiling: float, info: ValidationInfo) -> float:
        budget = info.data.get("budget", 1.0)
        if ceiling < budget:
            raise ValueError(
                f"should be at least the perplexity budget, {budget:g}: no emotion may exceed the ceiling"
            )
        return ceiling

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

    Attributes
    ----------
    sampling
        How the answers are sampled; every cell takes the same seeds.
    guidance
        How tokens are chosen between the steered and the unsteered model, under every vector; what is left open is as each
        was calibrated.
    """

    emotions: tuple[str, ...] = option((), _EMOTIONS, panel=WHAT, comma=True)
    language: str = option("en", _LANGUAGE, panel=WHAT)
    concepts: Path | None = option(None, _CONCEPTS, panel=WHAT)
    norms: str | None = option(
        None, "Ratings of the words of answers; else the language's default.", panel=WHAT
    )
    source: CalibratedSource | None = option(None, SOURCE_HELP, panel=MODEL)
    concept_language: str | None = option(
        None, f"{CONCEPTS_OF} that of the prompts where there are such vectors, else English.", panel=MODEL
    )
    baselines: Literal["dense", "sae", "both", "none"] = option(
        "dense", "Other calibrated vectors to hold beside: dense, sae, both, or none.", panel=DOSE
    )
    baselines_for: Literal["basic", "all"] = option(
        "basic", "basic or all: emotions the baselines are tried on.", panel=DOSE
    )
    mode: Mode = option("relative", "Mode of the dose.", panel=DOSE)
    guidance: Guidance = Guidance()
    doses: tuple[float, ...] = option(
        (0.5, 0.75, 1.0, 1.5, 2.0),
        "Multiples of each calibrated dose: 0.5,1,1.5. The basic six and their baselines take all, others 1; "
        "a vector without its guidance those up to 1, with an instruction those below.",
        panel=DOSE,
    )
    random_doses: tuple[float, ...] = option(
        (0.75, 1.0, 1.5, 2.5), "Multiples of the median dose, for random directions.", panel=DOSE
    )
    n_random: int = option(5, "Random directions.", panel=DOSE, old="--random", ge=0)
    n_shuffled: int = option(2, "Shuffled concept-sets.", panel=DOSE, old="--shuffled", ge=0)
    instructions: tuple[str, ...] = option(
        (),
        'Of the baselines in words, in place of the bundled ones: "Answer with {label}.", repeatable. Stands after the '
        "prompt, or around {prompt}.",
        flag="--instruction",
        panel=DOSE,
    )
    instruction_prompts: int = option(
        16, "Calibration prompts on which the best of the instructions is chosen.", panel=DOSE, gt=0
    )
    judge: str = option("subword", _JUDGE, panel=JUDGED)
    prompts: Path | None = option(None, _PROMPTS, panel=JUDGED)
    n_prompts: int = option(40, "Evaluation prompts, the first of the file.", panel=JUDGED, gt=0)
    sampling: Sampling = Sampling()
    n_factual: int = option(
        60, "Factual questions, the first of the file, each answered twice.", panel=JUDGED, ge=0
    )
    factual_tokens: int = option(20, "Tokens of an answer to a factual question.", panel=JUDGED, gt=0)
    seeds: int = option(
        1,
        "Answers to each prompt for the basic six at the calibrated dose, each with another seed; from 2 on, how often the tone is found again is reported.",
        panel=JUDGED,
        ge=1,
    )
    side_effects: bool = option(
        False,
        "Also look at refusals, agreement with false claims and words of abuse (English).",
        panel=JUDGED,
    )
    token_cap: int = option(600_000, "Generated tokens in all, at most.", panel=OUTPUT, gt=0)
    batch_size: int = option(40, _AT_ONCE, panel=OUTPUT, gt=0)
    seed: int = option(0, SEED_HELP, panel=OUTPUT, ge=0)
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

    @property
    def lower_doses(self) -> tuple[float, ...]:
        """The doses up to the calibrated one."""
        return tuple(dose for dose in self.doses if dose <= 1.0)

    @property
    def fractions(self) -> tuple[float, ...]:
        """The doses below the calibrated one, of a vector beside an instruction; that one where there are none."""
        return self.lower_doses[:-1] or self.lower_doses


class RatingSpec(Spec):
    """Answers of a study of steering for people to rate, or the sheets they filled."""

    run: Annotated[Path, option(..., "Run folder of emospace steer evaluate.", argument="RUN")]
    sheets: tuple[Path, ...] = option(
        (),
        "A filled sheet, named after its rater; repeatable. Without it a blank one is written.",
        flag="--sheet",
        panel=JUDGED,
    )
    emotions: tuple[str, ...] = option(
        (), f"{COMMA}; without it those of the basic six.", panel=WHAT, comma=True
    )
    ways: tuple[str, ...] = option(
        (),
        "Ways of steering as the run's tables name them (none: unsteered), comma-separated; without it all.",
        panel=WHAT,
        comma=True,
    )
    n_prompts: int = option(4, "Prompts, the same for each way and emotion.", panel=WHAT, gt=0)
    seed: int = option(0, SEED_HELP, panel=OUTPUT, ge=0)
    out: Path | None = option(None, "Folder of the sheet; else rating in the run folder.", panel=OUTPUT)


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
    source: CalibratedSource | None = option(None, SOURCE_HELP, panel=MODEL)
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
    seed: int = option(0, SEED_HELP, panel=OUTPUT, ge=0)
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
