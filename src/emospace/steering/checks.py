"""Whether a vector fits a model and a dose its calibration, and what is said where steering changed nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.specs import Mode
    from emospace.steering.hooks import Steering
    from emospace.steering.vector import DoseRange, SteeringVector

log = logging.getLogger(__name__)


def check_fit(root: Any, blocks: Sequence[Any], vector: SteeringVector) -> None:
    """Raise `EmospaceError` where a vector's width or layers are not those of the model."""
    config = getattr(root.config, "text_config", root.config)
    if vector.d_model != config.hidden_size:
        raise EmospaceError(
            f"the vector {vector.name!r} has width {vector.d_model}",
            f"the residual stream of this model has width {config.hidden_size}",
            f"use a vector made for this model; this one was made for {vector.model}",
        )
    wrong = [layer for layer in vector.layers if not 1 <= layer <= len(blocks)]
    if wrong:
        raise EmospaceError(
            f"the vector {vector.name!r} acts at layers {wrong}",
            f"steering reaches the residual stream after a block: layers 1 to {len(blocks)} of this model",
            "use a vector made for this model",
        )


def warn_of_another_model(model: LanguageModel, vector: SteeringVector) -> None:
    """Say in the log where a vector was made from other weights than the model's."""
    if vector.model_hash and vector.model_hash != model.weights_hash:
        log.warning(
            "%r was made for %s, not for %s: expect little effect, or none",
            vector.name,
            vector.model,
            model.name,
        )


def warn_beyond(vector: SteeringVector, dose: float, mode: Mode, known: DoseRange) -> None:
    """Say in the log where a dose is beyond the calibrated range."""
    if abs(dose) > known.high:
        log.warning(
            "dose %g of %r is beyond its calibrated range (%s, up to %g): expect repetition and broken sentences",
            dose,
            vector.name,
            mode,
            known.high,
        )


def warn_of_no_token(steering: Steering) -> None:
    """Say in the log that a vector changed no state, and why."""
    log.warning(
        "%r changed no state: no token that was run is in scope %r and window %s. The last token of an answer is never "
        "run, a first position never steered, and a forward pass without generate or a cache is all prompt unless "
        "prompt_length is given",
        steering.vector.name,
        steering.scope,
        steering.window,
    )
