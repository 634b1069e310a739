"""Answers of a model: one loop gives every row of a batch its next token, in a tone of its own."""

from emospace.generation.answers import Generated, generate, generate_together, perplexity, stream
from emospace.specs import Sampling

__all__ = ["Generated", "Sampling", "generate", "generate_together", "perplexity", "stream"]
