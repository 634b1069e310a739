"""``python -m emospace`` is the command ``emospace``."""

from emospace.cli import main

main()
