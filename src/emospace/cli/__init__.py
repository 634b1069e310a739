"""The command line: parse, call, print. One file for each group of commands."""

from emospace.cli import (
    compare,
    concepts,
    environment,
    hub,
    models,
    norms,
    read,
    sae,
    serve,
    steer,
    steer_studies,
    structures,
    study,
)
from emospace.cli.app import app, main

app.add_typer(sae.app, name="sae")
app.add_typer(concepts.app, name="concepts")
app.add_typer(norms.app, name="norms")
app.add_typer(structures.app, name="structures")
app.add_typer(models.app, name="models")
app.add_typer(environment.cache, name="cache")
app.command("doctor")(environment.doctor)
app.add_typer(hub.app, name="hub")
app.command("study")(study.study)
app.command("compare")(compare.compare)
app.command("report")(study.report)
app.command("read")(read.read)
app.command("serve")(serve.serve)
app.add_typer(steer.app, name="steer")

__all__ = ["app", "main", "steer_studies"]
