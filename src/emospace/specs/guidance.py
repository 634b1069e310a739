"""How each token of a steered answer is chosen."""

from __future__ import annotations

from emospace.errors import InvalidInput
from emospace.specs.base import DOSE, Spec, option


class Guidance(Spec):
    """How each token is chosen between what the model says steered and unsteered of the same text.

    A field that is None is as the vector was calibrated; where it was calibrated without guidance, the steered model
    alone decides. ``Guidance().over(None)`` always means that.
    """

    weight: float | None = option(
        None,
        "Times the difference that steering makes to a token's logit; 1: the steered model alone.",
        panel=DOSE,
        flag="--guidance",
        gt=0,
        le=100,
    )
    plausible: float | None = option(
        None,
        "Only tokens at least this part as likely, unsteered, as the likeliest; 0: all.",
        panel=DOSE,
        ge=0,
        le=1,
    )
    cost: float | None = option(
        None,
        "Nats of unsteered surprisal that the tone may cost a token: the weight is lowered to it; 0: any.",
        panel=DOSE,
        ge=0,
        le=100,
    )
    certainty: float | None = option(
        None,
        "Where the model, unsteered, gives a token at least this probability, it draws as if unsteered; 0: nowhere.",
        panel=DOSE,
        ge=0,
        le=1,
    )
    sharpen: float | None = option(
        None,
        "Times the logits that steered tokens are drawn from: a dose makes a model less sure than it was; 1: as it is.",
        panel=DOSE,
        ge=1,
        le=10,
    )
    candidates: int | None = option(
        None,
        "Texts drawn beside each other; the one is given that is most of the tone and likeliest to the unsteered model.",
        panel=DOSE,
        ge=1,
        le=64,
    )
    block: int | None = option(
        None,
        "Tokens after which all candidates go on from the best of them; 0: the whole answer is chosen.",
        panel=DOSE,
        ge=0,
        le=4096,
    )

    @property
    def is_plain(self) -> bool:
        """Whether the steered model alone decides."""
        is_alone = not (self.plausible or self.cost or self.certainty)
        return is_alone and all(value in (None, 1) for value in (self.weight, self.sharpen, self.candidates))

    def over(self, calibrated: Guidance | None) -> Guidance:
        """Return it with what is left open as calibrated, and everything else said.

        Raises
        ------
        EmospaceError
            If it chooses by blocks, and there is one candidate.
        """
        merged = {**PLAIN, **(calibrated.given if calibrated else {}), **self.given}
        if merged["candidates"] == 1:
            if self.block:
                raise InvalidInput(
                    f"guidance block={self.block}",
                    "after each block the best of several candidates is chosen, and there is one",
                    "Give candidates as well (--candidates 4), or leave the block out.",
                )
            merged["block"] = 0
        return Guidance(**merged)

    @property
    def given(self) -> dict[str, float]:
        """What is said, by field."""
        return {name: value for name, value in self.model_dump().items() if value is not None}

    def __str__(self) -> str:
        said = [f"{name}={value:g}" for name, value in self.given.items() if value != PLAIN[name]]
        return " ".join(said) or "plain"


PLAIN = {
    "weight": 1.0,
    "plausible": 0.0,
    "cost": 0.0,
    "certainty": 0.0,
    "sharpen": 1.0,
    "candidates": 1,
    "block": 0,
}
"""The guidance under which the steered model alone decides."""
