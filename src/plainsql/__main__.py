"""``python -m plainsql``."""

from plainsql.cli import main

main()
