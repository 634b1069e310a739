"""Mean and scale of each dimension of the residual stream, so that a few outlier dimensions do not claim a dictionary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emospace.artefacts import content_hash

OUTLIER = 16.0
"""A dimension whose variance is more than this multiple of the median one's is an outlier."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """What standardises states: in some models (Gemma 3) a few dimensions hold most of the variance.

    Attributes
    ----------
    mean, scale
        float32 ``[d_model]``: mean and standard deviation of each dimension on running text.
    """

    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    @classmethod
    def measured(cls, states: npt.NDArray[np.float32]) -> Scaling:
        """Return the scaling of states ``[n_tokens, d_model]``; a dimension that does not vary keeps its unit."""
        mean, scale = states.mean(0, dtype=np.float64), states.std(0, dtype=np.float64)
        return cls(mean.astype(np.float32), np.where(scale > 0, scale, 1.0).astype(np.float32))

    @property
    def content_hash(self) -> str:
        """Sixteen hex digits that change with any value."""
        return content_hash(self.mean, self.scale)

    def standardise(self, states: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
        """Return states ``[n_tokens, d_model]`` in standard deviations, as float16 holds them."""
        limit = np.finfo(np.float16).max
        clipped = np.clip((states - self.mean) / self.scale, -limit, limit)
        return np.asarray(clipped, dtype=np.float16)


def outliers(variance: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which dimensions' variance ``[d_model]`` is more than `OUTLIER` times the median one's."""
    return variance > OUTLIER * np.median(variance)
