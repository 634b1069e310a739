"""One module a tool, each with the same functions, called by `worker.py` in the tool's own environment.

Of every module:

``PACKAGES``
    Distributions whose versions are written down.
``load(folder, dtype, device)``
    Return the tool's state: a model and whatever goes with it. All other functions take the state first.

Of tools for language models, where they can:

``BATCHES``
    Batch sizes to choose among (for emospace: token budgets).
``words_last(state, words, carrier, batch)``
    Residual stream after each block at the last token of each word in its carrier, ``[n_words, n_blocks, d_model]``.
``texts_last(state, texts, batch)``
    The same for whole texts.
``texts_mean(state, texts, batch)``
    Mean over all tokens but the first, which is the start token and written in the text: ``[n_texts, n_blocks, d_model]``.
``vector(state, positive, negative, batch)``
    A direction for each block from pairs of texts, at their last tokens, ``[n_blocks, d_model]``.
``unsteered(state)``, ``steered(state, vectors)``
    Contexts that give ``generate(texts, n_tokens, **options)``; `vectors` ``[n_blocks, d_model]`` are added after each
    block, at every position.
``module(state)``
    The module whose forward is compiled.
``NOTES``
    Function -> what has to be known about it beside its figures.

A function that a tool lacks is left out: ``None`` in the results.
"""
