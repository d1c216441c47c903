"""``plainsql completion``: commands and options completed by the shell."""

from __future__ import annotations

from typing import Literal

from plainsql.cli.exit_codes import FINE

__all__ = ["completion"]


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the script that completes commands and options in a shell; nothing is installed.

    For bash: plainsql completion bash > ~/.local/share/bash-completion/completions/plainsql

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from plainsql.cli.app import app

    print(app.generate_completion(shell=shell))
    return FINE
