"""emospace-polyglot: ``model`` as `transformers` saves it, ``sae``, ``steering``, and ``card.json`` with all figures."""
