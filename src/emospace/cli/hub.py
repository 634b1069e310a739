"""`emospace hub`: vectors, autoencoders and runs on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emospace.display import add_result, say, written

app = typer.Typer(no_args_is_help=True, help="The Hugging Face hub: push, pull.")

Repo = Annotated[str, typer.Argument(metavar="NAME/REPO", help="Of the hub.")]


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="A run, a folder of vectors, or an autoencoder.")],
    repo: Repo,
    private: Annotated[bool, typer.Option("--private", help="Where it is made.")] = False,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
) -> None:
    """Send a run, calibrated vectors or an autoencoder, with a card. The token is that of the hub's client: HF_TOKEN.

    For example:

    emospace hub push runs/mine me/my-study
    """
    from emospace.sharing import push as send

    address = send(folder, repo, private=private, message=message)
    add_result("address", address)
    say(f"Pushed: {address}")


@app.command()
def pull(
    repo: Repo,
    out: Annotated[Path | None, typer.Option(help="A new folder; without it the cache.")] = None,
    ref: Annotated[str | None, typer.Option(help="A branch, tag or commit of the repository.")] = None,
) -> None:
    """Fetch what was pushed; vectors are put where 'emospace steer' finds them.

    For example:

    emospace hub pull me/my-vectors
    """
    from emospace.sharing import kind_of, pull as fetch

    folder = fetch(repo, out, revision=ref)
    written("Pulled", folder)
    say(f"Use it with: {kind_of(folder).use.format(path=folder)}")
