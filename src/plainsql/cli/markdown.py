"""Markdown for people: rendered at a terminal, as it is written elsewhere."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markdown import Markdown

__all__ = ["print_markdown"]


def print_markdown(text: str) -> None:
    """Print a page of Markdown."""
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    console = Console()
    # Lines of a hundred characters are the longest that read well.
    console.print(Markdown(text, code_theme="ansi_dark"), width=min(console.width, 100))
