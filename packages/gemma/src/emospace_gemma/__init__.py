"""emospace-gemma: ``sae`` and ``steering`` made for Gemma 3 270M, each folder with its card; no weights of Gemma."""
