"""`emospace sae`: train a sparse autoencoder for a model that has none."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emospace.cli.options import command_line, keep_spec, takes
from emospace.display import say, written
from emospace.errors import InvalidInput
from emospace.specs import TrainSpec

if TYPE_CHECKING:
    from emospace.sae import Corpus

app = typer.Typer(no_args_is_help=True, help="Sparse autoencoders.")


@app.callback()
def _sae() -> None:
    """Sparse autoencoders."""


@app.command()
@takes(TrainSpec)
def train(
    spec: TrainSpec,
    out: Annotated[Path, typer.Option(help="Folder of the SAE; an interrupted training goes on from it.")],
) -> None:
    """Train a top-k autoencoder on running text and write it in SAELens' format, with its card."""
    corpora = [read_corpus(given, spec.column) for given in spec.corpus]
    folder = keep_spec(spec, out)
    from emospace.models import load_model
    from emospace.sae import train_sae

    model = load_model(spec.model, **spec.loading)
    training = spec.for_model(model.n_blocks, model.d_model)
    if training.layer > model.n_blocks:
        raise InvalidInput(
            f"--layer {training.layer}",
            f"'{spec.model}' has {model.n_blocks} blocks",
            f"Give a layer from 0 to {model.n_blocks}.",
        )
    if training.k > training.n_latents:
        raise InvalidInput(
            f"--k {training.k}",
            f"there are only {training.n_latents} latents",
            "Give a smaller --k or more --n-latents.",
        )
    given = {"layer": training.layer, "n_latents": training.n_latents}
    command = command_line("emospace sae train", spec.model_copy(update=given), out)
    train_sae(model, corpora, training, folder, command=command)
    written("SAE", folder)
    revision = ["--revision", spec.revision] if spec.revision else []
    use = shlex.join(["emospace", "study", "--model", spec.model, *revision, "--sae", str(out)])
    say(f"Use it with: {use}")


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
        raise InvalidInput(
            f"--corpus {given}", f"'{share}' is no share of the tokens", "Write FILE:0.5, or FILE alone."
        )
    return Corpus(Path(file).name, read_texts(Path(file), column), part)
