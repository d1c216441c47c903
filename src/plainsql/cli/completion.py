"""``plainsql completion``: the script that completes commands and options in a shell."""

from __future__ import annotations

from typing import Literal

from plainsql.cli.exit_codes import FINE

__all__ = ["completion"]


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the script that completes commands and options in a shell; it installs nothing.

    For bash: plainsql completion bash > ~/.local/share/bash-completion/completions/plainsql

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from plainsql.cli.app import app

    print(app.generate_completion(shell=shell))
    return FINE
