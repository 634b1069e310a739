"""What a steering vector says in words: the tokens it promotes, and the latents and tones it lies closest to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.errors import EmospaceError
from emospace.steering.plan import check_fit, root_of

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.sae import SparseAutoencoder
    from emospace.steering.vector import SteeringVector


def promoted_tokens(
    model: LanguageModel, vector: SteeringVector, n: int = 12, *, suppressed: bool = False
) -> dict[int, list[tuple[str, float]]]:
    """Return the tokens that the direction of each layer makes likelier where it is read out at once.

    This is the logit lens (nostalgebraist, 2020) of the direction alone: final norm and unembedding are applied to it as
    if no block followed. A direction that promotes emotion words *names* the tone; one that does not may still show it.

    Parameters
    ----------
    model
        The model that the vector was made for.
    vector
        Its directions are read out, each by itself; doses and shares play no part.
    n
        Number of tokens of a layer.
    suppressed
        Whether to give those it makes less likely.

    Returns
    -------
    dict
        Layer -> tokens as text, the most promoted (suppressed) first, and the change of each one's logit in standard
        deviations over the vocabulary.

    Raises
    ------
    EmospaceError
        If the vector was made for another model, or the model's final norm is not found.
    """
    import torch

    check_fit(root_of(model), model.blocks, vector)
    head, norm = model.model.get_output_embeddings(), _final_norm(model)
    promoted: dict[int, list[tuple[str, float]]] = {}
    for layer, direction in vector.directions.items():
        with torch.inference_mode():
            row = torch.from_numpy(np.array(direction)).to(head.weight.device, head.weight.dtype)
            logits = head(norm(row[None, None])).float()[0, 0]
        z = (logits - logits.mean()) / logits.std()
        top = torch.topk(-z if suppressed else z, n).indices.tolist()
        promoted[layer] = [(model.tokenizer.decode([token]), float(z[token])) for token in top]
    return promoted


def nearest_latents(vector: SteeringVector, sae: SparseAutoencoder, n: int = 8) -> list[tuple[int, float]]:
    """Return the latents whose decoder directions lie closest to a vector at the autoencoder's layer.

    Parameters
    ----------
    vector
        One that acts at the layer that the autoencoder reads, or at none: then there is nothing to compare.
    sae
        Of the same model.
    n
        Number of latents.

    Returns
    -------
    list
        Latents, the nearest first, and the cosine of each one's decoder row with the direction.
    """
    direction = vector.directions.get(sae.layer)
    if direction is None:
        return []
    rows = np.asarray(sae.w_dec.float().cpu().numpy())
    cosines = rows @ direction / np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    top = np.argsort(-cosines, kind="stable")[:n]
    return [(int(latent), float(cosines[latent])) for latent in top]


def nearest_vectors(vector: SteeringVector, others: Mapping[str, SteeringVector]) -> list[tuple[str, float]]:
    """Return the cosine of a vector with others, a mean over the layers both act at, the nearest first.

    Parameters
    ----------
    vector
        The vector in question.
    others
        Name -> vector, such as those of `VectorBank.in_mode`.
    """
    cosines = {}
    for name, other in others.items():
        layers = sorted(set(vector.directions) & set(other.directions))
        if layers:
            cosines[name] = float(np.mean([vector.directions[at] @ other.directions[at] for at in layers]))
    return sorted(cosines.items(), key=lambda pair: -pair[1])


def _final_norm(model: LanguageModel) -> Any:
    """Return the module between the last block and the head."""
    named = [module for name, module in model.backbone.named_children() if "norm" in name or name == "ln_f"]
    if not named:
        raise EmospaceError(
            f"model '{model.name}'",
            "its final norm was not found",
            "Promoted tokens cannot be given for this family; everything else can.",
        )
    return named[-1]
