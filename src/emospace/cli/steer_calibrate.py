"""`emospace steer calibrate` and `export`: make vectors and find their doses, and give them to other engines."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emospace.cli.options import build_spec, run_folder, split, template_args_of
from emospace.cli.steer import (
    DOSE,
    JUDGED,
    RUN,
    TONE,
    WHAT,
    Arousal,
    Batch,
    Concepts,
    Device,
    Dtype,
    Emotion,
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
    Valence,
    app,
)
from emospace.cli.tone import asked_tone, layers_of, load
from emospace.display import say, table
from emospace.errors import unknown

if TYPE_CHECKING:
    from emospace.steering.bank import VectorBank

CALIBRATION = {
    "model": "--model",
    "revision": "--revision",
    "language": "--language",
    "source": "--source",
    "emotions": "--emotions",
    "concepts": "--concepts",
    "norms": "--norms",
    "sae": "--sae",
    "layers": "--layers",
    "judge": "--judge",
    "budget": "--budget",
    "ceiling": "--ceiling",
    "doses": "--doses",
    "feature_doses": "--feature-doses",
    "constant_doses": "--constant-doses",
    "contrasts": "--contrasts",
    "prompts": "--prompts",
    "n_prompts": "--n-prompts",
    "n_tokens": "--tokens",
    "least_tokens": "--least-tokens",
    "dtype": "--dtype",
    "device": "--device",
    "trust_remote_code": "--trust-remote-code",
    "template_args": "--template-arg",
    "batch_size": "--batch-size",
    "seed": "--seed",
}
"""Field of `CalibrationSpec` -> option."""


@app.command("calibrate")
def calibrate(
    model: Model = "embedded",
    emotions: Emotions = None,
    language: Language = "en",
    concepts: Concepts = None,
    norms: Annotated[
        str | None,
        typer.Option(
            help="Name or file, for the axes valence and arousal; else the language's default.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(help="mix (SAE at its block, dense elsewhere), sae, or dense.", rich_help_panel=WHAT),
    ] = "mix",
    sae: Annotated[
        str,
        typer.Option(
            help="auto (the shipped one, else none), none, a folder, or release:id.", rich_help_panel=WHAT
        ),
    ] = "auto",
    layers: Annotated[
        list[str] | None,
        typer.Option(
            help="Blocks to steer: 10,14,18; else a third to three fifths deep.", rich_help_panel=DOSE
        ),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            help="Largest perplexity ratio: median over the basic six of their medians.",
            rich_help_panel=DOSE,
        ),
    ] = 2.0,
    ceiling: Annotated[
        float, typer.Option(help="Largest median perplexity ratio of any emotion.", rich_help_panel=DOSE)
    ] = 3.0,
    doses: Annotated[
        list[str] | None, typer.Option(help="Relative doses tried: 0.6,0.8,1.", rich_help_panel=DOSE)
    ] = None,
    feature_doses: Annotated[
        list[str] | None,
        typer.Option(help="Relative doses tried with the SAE's features alone.", rich_help_panel=DOSE),
    ] = None,
    constant_doses: Annotated[
        list[str] | None, typer.Option(help="Constant doses tried.", rich_help_panel=DOSE)
    ] = None,
    contrasts: Annotated[
        list[str] | None,
        typer.Option(
            help="Parts (0 to 1) of what all emotions share that are taken out, each tried.",
            rich_help_panel=DOSE,
        ),
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            help="ngram, subword, hf:NAME or llm:MODEL@URL. Not the one that evaluates.",
            rich_help_panel=JUDGED,
        ),
    ] = "ngram",
    prompts: Prompts = None,
    n_prompts: Annotated[int, typer.Option(help="Calibration prompts.", rich_help_panel=JUDGED)] = 24,
    tokens: Annotated[int, typer.Option(help="Tokens of an answer.", rich_help_panel=JUDGED)] = 48,
    least_tokens: LeastTokens = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the vectors; else the cache, where every later call finds them.",
            rich_help_panel=RUN,
        ),
    ] = None,
    dtype: Dtype = "bfloat16",
    device: Device = "auto",
    revision: Revision = None,
    trust_remote_code: Trust = False,
    template_arg: TemplateArg = None,
    batch_size: Batch = 48,
    seed: Seed = 0,
) -> None:
    """Make a model's steering vectors and find the dose of each emotion.

    The strongest tone that stays fluent is kept, in both modes of dose; later calls take it from there. What was
    tried is kept too: a calibration that was stopped goes on with the same command.

    For example:

    emospace steer calibrate --model HuggingFaceTB/SmolLM2-360M-Instruct

    emospace steer calibrate --source dense --emotions joy,fear --budget 1.8
    """
    from emospace.evaluation.calibration import CalibrationSpec
    from emospace.evaluation.calibration import calibrate as run
    from emospace.evaluation.prompts import load_prompts

    given: dict[str, Any] = {
        "model": model,
        "revision": revision,
        "language": language,
        "source": source,
        "emotions": split(emotions or ()),
        "concepts": concepts,
        "norms": norms,
        "sae": sae,
        "judge": judge,
        "prompts": prompts,
        "n_prompts": n_prompts,
        "n_tokens": tokens,
        "least_tokens": least_tokens,
        "dtype": dtype,
        "device": device,
        "trust_remote_code": trust_remote_code,
        "template_args": template_args_of(template_arg),
        "batch_size": batch_size,
        "seed": seed,
        "budget": budget,
        "ceiling": ceiling,
    }
    optional = {
        "feature_doses": feature_doses and split(feature_doses),
        "layers": layers and split(layers),
        "doses": doses and split(doses),
        "constant_doses": constant_doses and split(constant_doses),
        "contrasts": contrasts and split(contrasts),
    }
    given |= {field: value for field, value in optional.items() if value is not None}
    spec = build_spec(CalibrationSpec, CALIBRATION, given)
    bank = run(spec, None if out is None else run_folder(out))
    show_calibration(bank)
    if out is None:
        kind = bank.note.get("prompt_kind", "questions")
        prompt = shlex.quote(load_prompts(spec.language, "calibration", spec.prompts, kind)[0])
        say(f"Use them with: emospace steer --model {shlex.quote(model)} --emotion {bank.names[0]} {prompt}")


def show_calibration(bank: VectorBank) -> None:
    """Print the dose of each emotion in both modes, with its range."""
    rows = []
    for name in bank.names:
        row: list[object] = [name]
        for mode in Mode:
            known = bank.vectors.get((name, mode.value))
            dose = known.calibration.get(mode.value) if known is not None else None
            row.append(None if dose is None else f"{dose.dose:.2f} ({dose.low:.2f} to {dose.high:.2f})")
        rows.append(row)
    table("Calibrated doses", ("emotion", "relative (range)", "constant (range)"), rows)


@app.command("export")
def export(
    out: Annotated[Path, typer.Option(help="File, or folder for baked.", rich_help_panel=RUN)],
    format: Annotated[  # noqa: A002
        str,
        typer.Option(
            help="safetensors (with a JSON card), gguf (llama.cpp control vector), baked (a model folder), or "
            "lm-eval (its steer file).",
            rich_help_panel=RUN,
        ),
    ],
    emotion: Emotion = None,
    valence: Valence = None,
    arousal: Arousal = None,
    dose: Annotated[
        float | None,
        typer.Option(
            help="In units of the median norm; without it the calibrated one.", rich_help_panel=TONE
        ),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Some of the vector's layers: 14,18.", rich_help_panel=TONE)
    ] = None,
    model: Model = "embedded",
    source: Source = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    revision: Revision = None,
    trust_remote_code: Trust = False,
) -> None:
    """Write a calibrated vector for another engine: mode constant, all tokens, added.

    For example:

    emospace steer export --emotion joy --format gguf --out joy.gguf

    emospace steer export --emotion fear --format baked --out fearful-model

    emospace steer export --valence -0.7 --format lm-eval --out gloomy.pt
    """
    from emospace.steering.export import EXPORTERS
    from emospace.steering.export import export as write

    tone = asked_tone(emotion, valence, arousal)
    if format not in EXPORTERS:
        raise unknown("export format", format, sorted(EXPORTERS))
    some = layers_of(layers)
    loaded, bank = load(model, source, dtype, device, revision, trust_remote_code)
    vector = tone.of(bank, Mode.constant.value)
    path = write(vector if some is None else vector.at(some), out, format, loaded, dose)
    applied = vector.dose("constant") if dose is None else dose
    say(
        f"Written: {path} ({vector.name}, constant dose {applied:g}, layers {', '.join(map(str, some or vector.layers))})"
    )
