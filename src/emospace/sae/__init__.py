"""Sparse autoencoders: encode, load from anywhere, train for a model that has none."""

from emospace.sae.autoencoder import SparseAutoencoder
from emospace.sae.corpus import Corpus, read_texts
from emospace.sae.files import automatic_sae, bundled_sae, load_sae, sae_for, save_sae
from emospace.sae.quality import SaeQuality, measure_quality
from emospace.sae.training import train_sae
from emospace.specs import SaeSpec

__all__ = [
    "Corpus",
    "SaeQuality",
    "SaeSpec",
    "SparseAutoencoder",
    "automatic_sae",
    "bundled_sae",
    "load_sae",
    "measure_quality",
    "read_texts",
    "sae_for",
    "save_sae",
    "train_sae",
]
