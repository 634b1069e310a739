"""`SparseAutoencoder`: encodes states as SAELens does, with torch alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import content_hash
from emospace.engines import in_parallel
from emospace.errors import EmospaceError

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix

DENSE_VALUES = 2**24
"""Activations of all latents that are held dense at once (64 MB of float32)."""

ROWS_AT_ONCE, LATENTS_AT_ONCE = 2**10, 2**12
"""States and latents of one product of `encode`: its 16 MB of activations become sparse while they are in the cache."""


@dataclass(frozen=True)
class SparseAutoencoder:
    """A sparse autoencoder of one layer's residual stream.

    Attributes
    ----------
    w_enc, b_enc
        float32 ``[d_model, n_latents]`` and ``[n_latents]``; of ``gated``, `b_enc` is the gate's bias.
    w_dec, b_dec
        float32 ``[n_latents, d_model]`` and ``[d_model]``; a row of `w_dec` is a latent's direction.
    architecture
        ``standard`` (ReLU), ``topk``, ``jumprelu`` or ``gated``.
    layer
        The residual stream after this many blocks; SAELens' ``blocks.{layer-1}.hook_resid_post``.
    threshold
        float32 ``[n_latents]``, for ``jumprelu``.
    r_mag, b_mag
        float32 ``[n_latents]``, for ``gated``: logarithm of the scale, and bias, of a latent's magnitude.
    k
        Latents kept for each state, for ``topk``.
    normalisation
        What is done to a state first: ``none``, ``layer_norm`` or ``constant_norm_rescale`` (to norm sqrt(d)).
    centred
        Whether a state's mean over `d_model` is taken from it before all else.
    subtract_decoder_bias
        Whether `b_dec` is taken from a state before encoding.
    rescale_by_decoder_norm
        Whether pre-activations are multiplied by their decoder row's norm before latents are chosen.
    card
        Corpus, tokens, sparsity, explained variance, seed, command and so on, as recorded by who trained it.
    """

    w_enc: torch.Tensor
    b_enc: torch.Tensor
    w_dec: torch.Tensor
    b_dec: torch.Tensor
    architecture: str
    layer: int
    threshold: torch.Tensor | None = None
    r_mag: torch.Tensor | None = None
    b_mag: torch.Tensor | None = None
    k: int | None = None
    normalisation: str = "none"
    centred: bool = False
    subtract_decoder_bias: bool = True
    rescale_by_decoder_norm: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_latents(self) -> int:
        """Number of latents."""
        return int(self.w_enc.shape[1])

    @property
    def d_model(self) -> int:
        """Width of the residual stream it reads."""
        return int(self.w_enc.shape[0])

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with any weight or setting."""
        settings = [
            self.architecture,
            self.layer,
            self.k,
            self.normalisation,
            self.subtract_decoder_bias,
            self.rescale_by_decoder_norm,
            *(["centred"] if self.centred else []),
        ]
        weights = (self.w_enc, self.b_enc, self.w_dec, self.b_dec, self.threshold, self.r_mag, self.b_mag)
        return content_hash(settings, *(tensor.numpy() for tensor in weights if tensor is not None))

    def activations(self, states: torch.Tensor) -> torch.Tensor:
        """Return latent activations, dense: ``[n, d_model]`` to ``[n, n_latents]``.

        Parameters
        ----------
        states
            Raw states of the residual stream after `layer` blocks, ``[n, d_model]``, on any device and in any float
            type; the autoencoder normalises them itself.
        """
        x = self._inputs(states)
        if self.architecture != "topk":
            return self._rectified(x, slice(None))
        values, latents = self._strongest(x, self.n_latents)
        return values.new_zeros(len(x), self.n_latents).scatter_(-1, latents, values)

    def reconstruct(self, states: torch.Tensor, activations: torch.Tensor | None = None) -> torch.Tensor:
        """Return what the latents make of the states, ``[n, d_model]``.

        Parameters
        ----------
        states
            As in `activations`.
        activations
            Activations of these states ``[n, n_latents]``, also changed ones; None computes them.
        """
        if activations is None:
            activations = self.activations(states)
        if self.rescale_by_decoder_norm:
            activations = activations / self.w_dec.to(activations).norm(dim=1)
        _, (scale, shift) = self._normalise(states)
        return (activations @ self.w_dec.to(activations) + self.b_dec.to(activations)) * scale + shift

    def encode(self, states: np.ndarray) -> csr_matrix:
        """Return the codes of states, sparse: float32 ``[n, d_model]`` to ``[n, n_latents]``.

        A thread holds no more than `ROWS_AT_ONCE` times `LATENTS_AT_ONCE` activations dense at a time, however many
        states or latents there are.

        Parameters
        ----------
        states
            Raw states of the residual stream after `layer` blocks, ``[n, d_model]``, such as `States.layer` returns.

        Raises
        ------
        EmospaceError
            If the states are of another width than this autoencoder.
        """
        import torch
        from scipy.sparse import csr_matrix, vstack

        if states.shape[-1] != self.d_model:
            raise EmospaceError(
                f"an SAE of width {self.d_model}",
                f"the states given are {states.shape[-1]} wide",
                "Use an SAE trained on this model's residual stream.",
            )

        def codes(rows: slice) -> csr_matrix:
            with torch.inference_mode():
                return self._sparse(torch.from_numpy(np.ascontiguousarray(states[rows], dtype=np.float32)))

        blocks = list(_slices(len(states), ROWS_AT_ONCE))
        parts = list(in_parallel(codes, blocks) if len(blocks) > 1 else map(codes, blocks))
        return vstack(parts, format="csr") if parts else csr_matrix((0, self.n_latents), dtype=np.float32)

    def row_blocks(self, n: int) -> Iterator[slice]:
        """Yield slices of rows whose dense activations are at most `DENSE_VALUES` (at least one row).

        Parameters
        ----------
        n
            Number of rows to be encoded.
        """
        return _slices(n, max(1, DENSE_VALUES // self.n_latents))

    def _inputs(self, states: torch.Tensor) -> torch.Tensor:
        """Return what the encoder's product takes."""
        x, _ = self._normalise(states)
        return x - self.b_dec.to(x) if self.subtract_decoder_bias else x

    def _rectified(self, x: torch.Tensor, latents: slice) -> torch.Tensor:
        """Return activations of some latents, dense; of ``topk`` before the strongest of all are chosen."""
        projected = x @ self.w_enc[:, latents].to(x)
        bias = self.b_enc[latents].to(x)
        if self.architecture == "gated" and self.r_mag is not None and self.b_mag is not None:
            magnitude = projected * self.r_mag[latents].to(x).exp() + self.b_mag[latents].to(x)
            return magnitude.relu() * (projected + bias > 0)
        hidden = projected.add_(bias)
        if self.rescale_by_decoder_norm:
            hidden *= self.w_dec[latents].to(x).norm(dim=1)
        active = hidden.relu_()
        if self.architecture == "jumprelu" and self.threshold is not None:
            active *= active > self.threshold[latents].to(x)
        return active

    def _strongest(self, x: torch.Tensor, at_once: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the `k` largest activations of each state and their latents, ``[n, k]``, of `at_once` latents a product."""
        import torch

        k = min(self.k or 1, self.n_latents)
        values, latents = x.new_empty(len(x), 0), torch.empty(len(x), 0, dtype=torch.long, device=x.device)
        for block in _slices(self.n_latents, at_once):
            strong, places = self._rectified(x, block).topk(min(k, block.stop - block.start), sorted=False)
            values, latents = torch.cat([values, strong], 1), torch.cat([latents, places + block.start], 1)
            values, kept = values.topk(min(k, values.shape[1]), sorted=False)
            latents = latents.gather(1, kept)
        return values, latents

    def _sparse(self, states: torch.Tensor) -> csr_matrix:
        """Return the codes of some states."""
        from scipy.sparse import csr_matrix

        x = self._inputs(states)
        entries = []
        if self.architecture == "topk":
            values, latents = (part.numpy() for part in self._strongest(x, LATENTS_AT_ONCE))
            rows, places = np.nonzero(values)
            entries.append((values[rows, places], rows, latents[rows, places]))
        else:
            for block in _slices(self.n_latents, LATENTS_AT_ONCE):
                active = self._rectified(x, block).numpy()
                at = np.flatnonzero(active != 0)
                rows, places = np.divmod(at, active.shape[1])
                entries.append((active.ravel()[at], rows, places + block.start))
        values, rows, latents = map(np.concatenate, zip(*entries, strict=True))
        codes = csr_matrix((values, (rows, latents)), shape=(len(x), self.n_latents))
        codes.sort_indices()
        return codes

    def _normalise(self, states: torch.Tensor) -> tuple[torch.Tensor, tuple[Any, Any]]:
        """Return the normalised states and ``(scale, shift)`` that undo it."""
        centre: Any = states.mean(-1, keepdim=True) if self.centred else 0.0
        states = states - centre
        if self.normalisation == "layer_norm":
            mean = states.mean(-1, keepdim=True)
            std = (states - mean).std(-1, keepdim=True)
            return (states - mean) / (std + 1e-5), (std, mean + centre)
        if self.normalisation == "constant_norm_rescale":
            scale = self.d_model**0.5 / states.norm(dim=-1, keepdim=True)
            return states * scale, (1 / scale, centre)
        return states, (1.0, centre)


def _slices(n: int, step: int) -> Iterator[slice]:
    return (slice(low, min(low + step, n)) for low in range(0, n, step))
