"""`emospace steer evaluate`: prove what steering does to a model's answers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emospace.cli.options import build_spec, command_line, run_folder, split
from emospace.cli.steer import (
    DOSE,
    JUDGED,
    RUN,
    WHAT,
    Batch,
    Concepts,
    Device,
    Dtype,
    Emotions,
    Language,
    LeastTokens,
    Mode,
    Model,
    Prompts,
    Revision,
    Seed,
    Source,
    TemplateArg,
    Trust,
    app,
)
from emospace.cli.tone import bank_of, load, sampling_of
from emospace.display import say, table
from emospace.errors import EmospaceError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emospace.evaluation import Evaluation, SteeringSpec
    from emospace.models import LanguageModel
    from emospace.steering.bank import VectorBank

EVALUATION = {
    "model": "--model",
    "language": "--language",
    "emotions": "--emotions",
    "mode": "--mode",
    "doses": "--doses",
    "random_doses": "--random-doses",
    "n_random": "--random",
    "n_shuffled": "--shuffled",
    "baselines_for": "--baselines-for",
    "judge": "--judge",
    "prompts": "--prompts",
    "n_prompts": "--n-prompts",
    "concepts": "--concepts",
    "norms": "--norms",
    "instruction": "--instruction",
    "factual_tokens": "--factual-tokens",
    "token_cap": "--token-cap",
    "batch_size": "--batch-size",
    "seed": "--seed",
}
"""Field of `SteeringSpec` -> option; its sampling has options of its own, and `out` is `--out`."""

SAMPLING = {
    "n_tokens": "--tokens",
    "least_tokens": "--least-tokens",
    "temperature": "--temperature",
    "top_k": "--top-k",
    "top_p": "--top-p",
}


@app.command("evaluate")
def evaluate(
    model: Model = "embedded",
    emotions: Emotions = None,
    language: Language = "en",
    concepts: Concepts = None,
    norms: Annotated[
        str | None,
        typer.Option(
            help="Ratings of the words of answers; else the language's default.", rich_help_panel=WHAT
        ),
    ] = None,
    source: Source = None,
    baselines: Annotated[
        str,
        typer.Option(
            help="Other calibrated vectors to hold beside: dense, sae, both, or none.", rich_help_panel=DOSE
        ),
    ] = "dense",
    baselines_for: Annotated[
        str, typer.Option(help="basic or all: emotions the baselines are tried on.", rich_help_panel=DOSE)
    ] = "basic",
    mode: Annotated[Mode, typer.Option(help="Mode of the dose.", rich_help_panel=DOSE)] = Mode.relative,
    doses: Annotated[
        list[str] | None,
        typer.Option(
            help="Multiples of each calibrated dose: 0.5,1,1.5. The basic six take all, others the neighbours of 1.",
            rich_help_panel=DOSE,
        ),
    ] = None,
    random_doses: Annotated[
        list[str] | None,
        typer.Option(help="Multiples of the median dose, for random directions.", rich_help_panel=DOSE),
    ] = None,
    random: Annotated[int, typer.Option(help="Random directions.", rich_help_panel=DOSE)] = 5,
    shuffled: Annotated[int, typer.Option(help="Shuffled concept-sets.", rich_help_panel=DOSE)] = 2,
    instruction: Annotated[
        str | None,
        typer.Option(
            help='Of the prompt-only baseline, after the prompt or around {prompt}: "Answer with {label}."',
            rich_help_panel=DOSE,
        ),
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            help="subword, ngram, hf:NAME or llm:MODEL@URL. Not the one that calibrated.",
            rich_help_panel=JUDGED,
        ),
    ] = "subword",
    prompts: Prompts = None,
    n_prompts: Annotated[int, typer.Option(help="Evaluation prompts.", rich_help_panel=JUDGED)] = 40,
    tokens: Annotated[int, typer.Option(help="Tokens of an answer, at most.", rich_help_panel=JUDGED)] = 48,
    least_tokens: LeastTokens = 0,
    temperature: Annotated[float, typer.Option(rich_help_panel=JUDGED)] = 0.8,
    top_k: Annotated[int, typer.Option(help="0: all tokens.", rich_help_panel=JUDGED)] = 50,
    top_p: Annotated[float, typer.Option(rich_help_panel=JUDGED)] = 1.0,
    factual_tokens: Annotated[
        int, typer.Option(help="Tokens of an answer to a factual question.", rich_help_panel=JUDGED)
    ] = 24,
    token_cap: Annotated[
        int, typer.Option(help="Generated tokens in all, at most.", rich_help_panel=RUN)
    ] = 500_000,
    out: Annotated[
        Path, typer.Option(help="Run folder; a study that stopped goes on from it.", rich_help_panel=RUN)
    ] = Path("runs/steering"),
    dtype: Dtype = "bfloat16",
    device: Device = "auto",
    revision: Revision = None,
    trust_remote_code: Trust = False,
    template_arg: TemplateArg = None,
    batch_size: Batch = 40,
    seed: Seed = 0,
) -> None:
    """Prove what steering does: answers at every dose, judged, beside random directions and other ways.

    Writes results.json, tables/ and report.html into the run folder. Takes calibrated vectors.

    For example:

    emospace steer evaluate --out runs/steering

    emospace steer evaluate --emotions joy,sadness --doses 0.5,1,1.5 --n-prompts 10 --out runs/quick
    """
    from emospace.evaluation import SteeringSpec

    given: dict[str, Any] = {
        "model": model,
        "language": language,
        "emotions": split(emotions or ()),
        "mode": mode.value,
        "n_random": random,
        "n_shuffled": shuffled,
        "baselines_for": baselines_for,
        "judge": judge,
        "prompts": prompts,
        "n_prompts": n_prompts,
        "concepts": concepts,
        "norms": norms,
        "instruction": instruction,
        "sampling": sampling_of(tokens, least_tokens, temperature, top_k, top_p, seed),
        "factual_tokens": factual_tokens,
        "token_cap": token_cap,
        "batch_size": batch_size,
        "seed": seed,
        "out": out,
    }
    if doses:
        given["doses"] = split(doses)
    if random_doses:
        given["random_doses"] = split(random_doses)
    spec = build_spec(SteeringSpec, EVALUATION, given)
    others = baselines_of(baselines)
    folder = run_folder(out)
    flags = {"--source": source, "--baselines": baselines if baselines != "dense" else None}
    flags |= {
        "--dtype": dtype if dtype != "bfloat16" else None,
        "--device": device if device != "auto" else None,
        "--revision": revision,
    }
    command = evaluation_command(spec, flags, trust_remote_code, template_arg or ())
    loaded, bank = load(model, source, dtype, device, revision, trust_remote_code, template_arg)
    own = {vector.kind for vector in bank.vectors.values()}
    beside = {name: bank_or_none(loaded, name) for name in others if name not in own}
    from emospace.evaluation.running import run_evaluation
    from emospace.report import write_report

    done = run_evaluation(spec, loaded, bank, beside, command=command)

    show_evaluation(done)
    say(f"Report: {write_report(folder)}")


def show_evaluation(found: Evaluation) -> None:
    """Print the basic emotions at their calibrated dose, the study in figures, and what could not be given."""
    from emospace.judges import BASIC

    unjudged = any(record.n_unjudged for record in found.records)
    weak = any(record.caveat for record in found.records)
    columns = (
        *("emotion", "vector", *(["judged"] if unjudged else []), "rate", "95% CI", "masked", "unsteered"),
        *("p (FDR)", "perplexity ratio", "distinct-2", *(["judge"] if weak else [])),
    )

    def rows() -> Iterator[tuple[object, ...]]:
        for record in found.records:
            if record.calibrated and record.emotion in BASIC:
                low, high = record.ci_low, record.ci_high
                span = None if low is None or high is None else f"{low:.2f} to {high:.2f}"
                p = None if record.p_fdr is None else f"{record.p_fdr:.4f}"
                yield (
                    *(record.emotion, record.vector),
                    *([f"{record.n_judged} of {record.n}"] if unjudged else []),
                    *(record.target_rate, span),
                    *(record.target_rate_masked, record.base_rate, p),
                    *(record.perplexity_ratio, record.distinct2_ratio, *([record.caveat] if weak else [])),
                )

    table("Answers heard as the target, at the calibrated dose", columns, rows())
    figures = found.tables["figures"]
    if len(figures):
        table(
            "The study in figures",
            ("vector", "figure", "value", "low", "high", "n"),
            figures[["kind", "figure", "value", "value_low", "value_high", "n"]].itertuples(index=False),
        )
    for missing in found.not_computed:
        say(f"Not computed: {missing.what}: {missing.why}")


def bank_or_none(model: LanguageModel, source: str) -> VectorBank | None:
    """Return a model's vectors of a source, None where it has none."""
    try:
        return bank_of(model, source)
    except EmospaceError:
        return None


def baselines_of(given: str) -> tuple[str, ...]:
    """Return the sources of ``dense``, ``sae``, ``both`` or ``none``."""
    known = {"dense": ("dense",), "sae": ("sae",), "both": ("dense", "sae"), "none": ()}
    if given not in known:
        raise unknown("kind of baselines", given, tuple(known))
    return known[given]


def evaluation_command(
    spec: SteeringSpec, flags: dict[str, str | None], trust: bool, template_arg: Sequence[str] = ()
) -> str:
    """Return the one line that runs an evaluation again."""
    default = type(spec.sampling)()
    words = ["emospace steer evaluate", *(["--trust-remote-code"] if trust else [])]
    for option, value in flags.items():
        words += [] if value is None else [option, shlex.quote(value)]
    for given in template_arg:
        words += ["--template-arg", shlex.quote(given)]
    for field, option in SAMPLING.items():
        if (value := getattr(spec.sampling, field)) != getattr(default, field):
            words += [option, str(value)]
    return command_line(" ".join(words), spec, EVALUATION, spec.out)
