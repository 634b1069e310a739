"""`emospace models`: what can be loaded, and whether one model works with everything else."""

from __future__ import annotations

import typer

from emospace.cli.options import takes
from emospace.display import say, table
from emospace.specs import CheckSpec

_TEXT = (
    "She laughed with joy, and he wept with grief; the fear was gone, the anger too. What a day it had been!"
)
"""Read in full, since single states far larger than the others, mostly of the first token, are what overflows."""

_FLOAT16_MAX = 65_504

app = typer.Typer(no_args_is_help=True, help="Language models: list, check.")


@app.command("list")
def list_all() -> None:
    """Show the embedded model and the families whose blocks are known."""
    from emospace.models import list_models

    table("Models", ("name", "kind", "detail"), [tuple(row.values()) for row in list_models()])
    say("Any other causal model of transformers is loaded too: its blocks are searched for.")


@app.command()
@takes(CheckSpec)
def check(spec: CheckSpec) -> None:
    """Load a model, fit an SAE to it and run one word through all layers."""
    import numpy as np

    from emospace.activations import extract_words, not_finite, token_figures
    from emospace.models import load_model, missing_companion
    from emospace.sae import bundled_sae, sae_for

    model = load_model(spec.model, **spec.loading)
    rows: list[tuple[str, object]] = [
        ("family", model.model.config.model_type),
        ("blocks", model.n_blocks),
        ("layers", f"0 to {model.n_blocks}"),
        ("d_model", model.d_model),
        ("parameters", f"{sum(weight.numel() for weight in model.model.parameters()):,}"),
        ("device", str(model.device)),
        *((key, value) for key, value in model.identity.items() if value is not None),
    ]
    fitted = sae_for(model, spec.sae)
    if fitted is None:
        command = missing_companion(model.identity.get("sha256"))
        none = f"not installed: {command}" if command else "none ships for it: train one"
        rows.append(("SAE", f"{none}, or study dense directions"))
    else:
        source = bundled_sae(model) if spec.sae == "auto" else spec.sae
        rows.append(("SAE", f"{source}: {fitted.n_latents} latents at layer {fitted.layer}, fits"))
    layers = range(model.n_blocks + 1)
    ids = model.text_ids(_TEXT)
    values = token_figures(model, [ids], layers, lambda state: state.abs().amax(dim=-1))
    largest = {layer: float(largest_of[0].max()) for layer, largest_of in values.items()}
    highest = next((layer for layer in layers if not np.isfinite(largest[layer])), None)
    if highest is None:
        highest = max(largest, key=lambda layer: largest[layer])
    rows.append(("largest value of a state", f"{largest[highest]:,.0f} at layer {highest}"))
    if not np.isfinite(largest[highest]):
        table(spec.model, ("what", "value"), rows)
        raise not_finite(model, highest, ids)
    states = extract_words(model, [spec.word], spec.carrier, tuple(layers)).states[0]
    norms = np.linalg.norm(states, axis=1)
    rows.append(
        (f"state norm of '{spec.word}'", f"{norms[0]:.1f} at layer 0, {norms[-1]:.1f} at {model.n_blocks}")
    )
    if fitted is not None:
        codes = fitted.encode(states[[fitted.layer]])
        rows.append((f"latents active on '{spec.word}'", int(codes.nnz)))
    table(spec.model, ("what", "value"), rows)
    say("It works.")
    if largest[highest] > _FLOAT16_MAX / 2:
        say(
            f"Not in float16, which holds values up to {_FLOAT16_MAX:,}: use --dtype bfloat16 or float32 in every "
            "command."
        )
