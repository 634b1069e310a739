"""Residual-stream states of words and texts: what is pooled, the hot path, and the store."""

from emospace.activations.capture import not_finite, pooled_states, token_figures, token_states
from emospace.activations.spans import Span, text_spans, word_spans
from emospace.activations.states import States, extract, extract_words, stream_words
from emospace.specs import Pooling

__all__ = [
    "Pooling",
    "Span",
    "States",
    "extract",
    "extract_words",
    "not_finite",
    "pooled_states",
    "stream_words",
    "text_spans",
    "token_figures",
    "token_states",
    "word_spans",
]
