"""`emospace sae`: train a sparse autoencoder for a model that has none."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emospace.cli.options import REVISION, build_spec, command_line, run_folder
from emospace.display import say
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    from emospace.sae import Corpus

app = typer.Typer(no_args_is_help=True, help="Sparse autoencoders.")

OPTIONS = {
    "layer": "--layer",
    "n_latents": "--latents",
    "k": "--k",
    "n_tokens": "--tokens",
    "passes": "--passes",
    "n_heldout": "--heldout",
    "batch": "--batch",
    "learning_rate": "--learning-rate",
    "aux_loss": "--aux-loss",
    "seed": "--seed",
}
"""Field of `SaeSpec` -> option."""

DEPTH, EXPANSION = 0.6, 8
"""Where no layer or width is given: this part of the depth, this many latents for each unit of d_model."""


@app.callback()
def _sae() -> None:
    """Sparse autoencoders."""


@app.command()
def train(
    corpus: Annotated[
        list[str],
        typer.Option(
            metavar="FILE[:SHARE]",
            help="Running text (.txt, .txt.xz, .tsv, .csv, .parquet) and its share of the tokens; repeatable.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the SAE; an interrupted training goes on from it.")],
    column: Annotated[
        str,
        typer.Option(
            help="Column with the text in a .tsv, .csv or .parquet; a number from 1 on if it has no header line."
        ),
    ] = "text",
    model: Annotated[str, typer.Option(help="embedded, a hub id, a folder or a GGUF file.")] = "embedded",
    revision: Annotated[str | None, typer.Option(help=REVISION)] = None,
    layer: Annotated[
        int | None, typer.Option(help="Residual stream after this many blocks; else 60% of the depth.")
    ] = None,
    latents: Annotated[int | None, typer.Option(help="Number of latents; else 8 times d_model.")] = None,
    k: Annotated[int, typer.Option(help="Latents kept for each state.")] = 48,
    tokens: Annotated[int, typer.Option(help="Distinct training tokens.")] = 2_000_000,
    passes: Annotated[float, typer.Option(help="How often each token is seen.")] = 1.0,
    heldout: Annotated[int, typer.Option(help="Tokens held out for the card's figures.")] = 200_000,
    batch: Annotated[int, typer.Option(help="States in one step.")] = 2048,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 4e-4,
    aux_loss: Annotated[float, typer.Option(help="Weight of the loss that revives dead latents.")] = 0.0625,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    dtype: Annotated[str, typer.Option(help="Precision the model runs in.")] = "float32",
    device: Annotated[str, typer.Option(help="auto or a torch device.")] = "auto",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")
    ] = False,
) -> None:
    """Train a top-k autoencoder on running text and write it in SAELens' format, with its card."""
    corpora = [read_corpus(given, column) for given in corpus]
    folder = run_folder(out)
    from emospace.models import load_model
    from emospace.sae import SaeSpec, train_sae

    loaded = load_model(
        model, dtype=dtype, device=device, revision=revision, trust_remote_code=trust_remote_code
    )
    spec = build_spec(
        SaeSpec,
        OPTIONS,
        {
            "layer": round(DEPTH * loaded.n_blocks) if layer is None else layer,
            "n_latents": EXPANSION * loaded.d_model if latents is None else latents,
            "k": k,
            "n_tokens": tokens,
            "passes": passes,
            "n_heldout": heldout,
            "batch": batch,
            "learning_rate": learning_rate,
            "aux_loss": aux_loss,
            "seed": seed,
        },
    )
    if spec.layer > loaded.n_blocks:
        raise EmospaceError(
            f"--layer {spec.layer}",
            f"'{model}' has {loaded.n_blocks} blocks",
            f"Give a layer from 0 to {loaded.n_blocks}.",
        )
    if spec.k > spec.n_latents:
        raise EmospaceError(
            f"--k {spec.k}",
            f"there are only {spec.n_latents} latents",
            "Give a smaller --k or more --latents.",
        )
    texts = " ".join(f"--corpus {shlex.quote(given)}" for given in corpus)
    texts += f" --column {shlex.quote(column)}" if column != "text" else ""
    named = f"--model {shlex.quote(model)}" + (f" --revision {shlex.quote(revision)}" if revision else "")
    command = command_line(f"emospace sae train {named} {texts}", spec, OPTIONS, out)
    train_sae(loaded, corpora, spec, folder, command=command)
    say(f"Use it with: emospace study {named} --sae {shlex.quote(str(out))}")


def read_corpus(given: str, column: str = "text") -> Corpus:
    """Return the corpus of ``FILE`` or ``FILE:SHARE``; a table's texts are in a column."""
    from emospace.sae import Corpus, read_texts

    file, colon, share = given.rpartition(":")
    if not colon or Path(given).exists():
        return Corpus(Path(given).name, read_texts(Path(given), column))
    try:
        part = float(share)
    except ValueError:
        part = -1.0
    if not 0 < part < float("inf"):
        raise EmospaceError(
            f"--corpus {given}", f"'{share}' is no share of the tokens", "Write FILE:0.5, or FILE alone."
        )
    return Corpus(Path(file).name, read_texts(Path(file), column), part)
