"""``plainsql lsp``: the language server, which an editor starts."""

from __future__ import annotations

import plainsql
from plainsql.cli.exit_codes import FINE
from plainsql.errors import SettingsError

__all__ = ["lsp"]


def lsp(*, scratch: str | None = None) -> int:
    """Serve an editor over standard input and output: problems, hover, completion, definitions, quick fixes.

    An editor starts it: the page about editors has the settings for VS Code, Neovim, Helix and PyCharm. It
    serves all projects of the editor, and all databases of each.

    Exits with 0 when the editor ends it, 2 if it could not run.

    Parameters
    ----------
    scratch
        URL of a server to build the scratch databases on; by default the one named for it, else the embedded
        server.
    """
    try:
        from plainsql.editor.language_server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise SettingsError("plainsql lsp needs pygls", hint="pip install 'plainsql[lsp]'") from None
    serve(scratch, version=plainsql.__version__)
    return FINE
