"""Top-k dictionary learning on standardised states, with gradients as sparse as the codes.

Only the encoder's product is dense: a state touches `k` rows of the decoder, and so do its gradients, which makes a
step cost a fraction of one whose backward pass is dense. Latents that have been silent for some steps are fitted to
what the others leave over (the auxiliary loss of Gao et al. 2024, "Scaling and evaluating sparse autoencoders", eq. 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from emospace.specs import SaeSpec

REVIVED = 128
"""Silent latents that take part in the auxiliary loss of a state."""

Tensors = Mapping[str, "torch.Tensor"]


@dataclass
class Trainer:
    """A dictionary in training; `state` and `restore` carry all that a resumed run needs.

    Attributes
    ----------
    weights
        ``w_enc`` and ``w_dec`` ``[n_latents, d_model]`` (rows of `w_dec` of unit norm), ``b_enc`` ``[n_latents]``,
        ``b_dec`` ``[d_model]``; all float32.
    silent
        Steps since each latent was last active, ``[n_latents]``.
    step
        Steps done.
    """

    spec: SaeSpec
    weights: dict[str, torch.Tensor]
    optimiser: torch.optim.Adam
    silent: torch.Tensor
    n_steps: int
    bfloat16: bool
    step: int = 0

    @classmethod
    def start(
        cls, spec: SaeSpec, d_model: int, n_steps: int, device: torch.device, *, bfloat16: bool
    ) -> Trainer:
        """Return a dictionary of random directions, encoder and decoder alike.

        Parameters
        ----------
        bfloat16
            Whether the encoder's product is made in bfloat16; weights and all else are float32.
        """
        import torch

        directions = torch.randn(spec.n_latents, d_model, generator=torch.Generator().manual_seed(spec.seed))
        directions /= directions.norm(dim=1, keepdim=True)
        weights = {
            "w_enc": directions.clone().to(device),
            "w_dec": directions.to(device),
            "b_enc": torch.zeros(spec.n_latents, device=device),
            "b_dec": torch.zeros(d_model, device=device),
        }
        optimiser = torch.optim.Adam(weights.values(), lr=spec.learning_rate, fused=True)
        return cls(spec, weights, optimiser, torch.zeros(spec.n_latents, device=device), n_steps, bfloat16)

    def run(self, batches: Iterator[torch.Tensor], on_step: Callable[[], None]) -> None:
        """Train on batches ``[batch, d_model]`` of standardised states until `n_steps` are done."""
        while self.step < self.n_steps:
            self._advance(next(batches).to(self.silent.device))
            self.step += 1
            on_step()

    def state(self) -> dict[str, torch.Tensor]:
        """Return weights, Adam's moments, how long each latent is silent, and the step."""
        import torch

        tensors = {f"weight.{name}": tensor for name, tensor in self.weights.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        tensors |= {"silent": self.silent, "step": torch.tensor(self.step)}
        return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}

    def restore(self, tensors: Tensors) -> None:
        """Take up what `state` returned."""
        adam = self.optimiser.state_dict()
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "weight":
                self.weights[rest].copy_(value)
            elif kind == "adam":
                index, _, moment = rest.partition(".")
                adam["state"].setdefault(int(index), {})[moment] = value
        self.optimiser.load_state_dict(adam)
        self.silent.copy_(tensors["silent"])
        self.step = int(tensors["step"])

    def _advance(self, states: torch.Tensor) -> None:
        import torch

        w_enc, w_dec, b_enc, b_dec = (self.weights[name] for name in ("w_enc", "w_dec", "b_enc", "b_dec"))
        inputs = states - b_dec
        with torch.autocast(states.device.type, torch.bfloat16, enabled=self.bfloat16):
            before = (inputs @ w_enc.T).float() + b_enc
        values, chosen = before.topk(self.spec.k, dim=1, sorted=False)
        values = values.relu()
        error = _decoded(values, chosen, w_dec) + b_dec - states
        variance = (states - states.mean(0)).square().sum()
        # The loss is the squared error as a share of the batch's variance.
        gradient = 2 * error / variance
        parts = [(chosen, values, gradient)]
        self.silent += 1
        self.silent[chosen[values > 0]] = 0
        dead = (self.silent > self.window).nonzero()[:, 0]
        if len(dead) and self.spec.aux_loss:
            revived, places = before[:, dead].topk(min(REVIVED, len(dead)), dim=1, sorted=False)
            chosen, values = dead[places], revived.relu()
            left = _decoded(values, chosen, w_dec) + error
            parts.append((chosen, values, self.spec.aux_loss * 2 * left / error.square().sum()))
        # Both losses reach the encoder through the same inputs, the decoder each through its own error.
        # A dense product and its few entries that count cost less than gathering a decoder row for each of these.
        with torch.autocast(states.device.type, torch.bfloat16, enabled=self.bfloat16):
            at_codes = [
                (at_output @ w_dec.T).gather(1, chosen).float() * (values > 0)
                for chosen, values, at_output in parts
            ]
        touched, gradient_of_codes = torch.cat([part[0] for part in parts], 1), torch.cat(at_codes, 1)
        gradients = {
            "w_enc": _summed(touched, gradient_of_codes, inputs, len(w_enc)),
            "w_dec": reduce(torch.add, (_summed(*part, len(w_dec)) for part in parts)),
            "b_enc": torch.zeros_like(b_enc).index_add_(0, touched.flatten(), gradient_of_codes.flatten()),
            "b_dec": gradient.sum(0),
        }
        # Rows of the decoder keep their norm, so a step along them would be lost.
        along = (gradients["w_dec"] * w_dec).sum(1, keepdim=True)
        gradients["w_dec"] -= along * w_dec
        for name, tensor in self.weights.items():
            tensor.grad = gradients[name]
        self.optimiser.param_groups[0]["lr"] = self.learning_rate
        self.optimiser.step()
        w_dec /= w_dec.norm(dim=1, keepdim=True)

    @property
    def window(self) -> int:
        """Steps after which a latent that was not active counts as dead."""
        return max(20, min(300, self.n_steps // 10))

    @property
    def learning_rate(self) -> float:
        """The rate of the present step: warmed up, then flat, then falling to a tenth in the last quarter."""
        warm = min(1.0, (self.step + 1) / max(1, min(200, self.n_steps // 10)))
        left = (self.n_steps - self.step) / max(1, self.n_steps // 4)
        return self.spec.learning_rate * warm * min(1.0, 0.1 + 0.9 * left)


def _decoded(values: torch.Tensor, chosen: torch.Tensor, w_dec: torch.Tensor) -> torch.Tensor:
    """Return the weighted sums of decoder rows ``[n, d_model]`` for values at latents ``[n, k]``."""
    from torch.nn.functional import embedding_bag

    return embedding_bag(chosen, w_dec, per_sample_weights=values, mode="sum")


def _summed(chosen: torch.Tensor, values: torch.Tensor, rows: torch.Tensor, n_latents: int) -> torch.Tensor:
    """Return for each latent the sum of its values times their rows, ``[n_latents, d_model]``."""
    import torch

    latents, order = chosen.flatten().sort(stable=True)
    starts = torch.zeros(n_latents + 1, dtype=torch.long, device=rows.device)
    starts[1:] = torch.bincount(latents, minlength=n_latents).cumsum(0)
    columns = order // chosen.shape[1]
    sums = torch.sparse_csr_tensor(
        starts, columns, values.flatten()[order], (n_latents, len(rows)), check_invariants=False
    )
    return sums @ rows
