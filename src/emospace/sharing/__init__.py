"""Vectors, autoencoders and runs on the Hugging Face hub: pushed with a card, pulled again."""

from emospace.sharing.hub import pull as pull, push as push
from emospace.sharing.kinds import KINDS as KINDS, Kind as Kind, kind_of as kind_of

__all__ = ["KINDS", "Kind", "kind_of", "pull", "push"]
