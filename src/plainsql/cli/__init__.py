"""The command line, one module a command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run ``plainsql`` and exit."""
    try:
        from plainsql.cli.app import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "plainsql":
            raise
        print(f"the plainsql command needs {error.name}\nHINT: pip install 'plainsql[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:  # while the modules are imported; later the main of the commands reports it
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(run())
