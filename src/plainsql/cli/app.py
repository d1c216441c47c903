"""The ``plainsql`` command: its list of commands, and the form of its errors."""

from __future__ import annotations

import errno
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from typing import Any, Final

import cyclopts
from cyclopts import App

from plainsql.cli.databases import run_on_databases, take_database
from plainsql.cli.exit_codes import COULD_NOT_RUN, FINE
from plainsql.cli.old_names import with_new_names
from plainsql.cli.plugin_commands import add_plugin, add_plugins
from plainsql.cli.plugins import PluginError
from plainsql.cli.signals import interrupting_signals
from plainsql.cli.streams import standard_streams
from plainsql.cli.usage_errors import print_usage_error
from plainsql.cli.version import version
from plainsql.deprecation import PlainsqlDeprecationWarning
from plainsql.errors import PlainsqlError, SettingsError

__all__ = ["app", "load_commands", "main"]

_PROJECT: Final = re.compile("-C|--project(=.*)?", re.DOTALL)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

app = App(
    name="plainsql",
    help="""PostgreSQL without an ORM: hand-written SQL files as typed, fast Python.

    ``plainsql -C DIR COMMAND`` (or ``--project DIR``, also after the command) runs as if it was started in
    that folder.

    ``--db NAME`` names one database of a project with several; ``check``, ``generate``, ``test``,
    ``migrate``, ``migrate status``, ``db doctor``, ``db backup`` and ``watch`` work on all of them without
    it.
    """,
    version=version,
    version_format="plaintext",
    suppress_keyboard_interrupt=False,  # main reports it
)
# By name: a command's module is imported when the command is used, and psycopg and the analysis with it.
for _name in (
    "activity",
    "check",
    "completion",
    "demo",
    "describe",
    "explain",
    "generate",
    "grants",
    "init",
    "lsp",
    "plans",
    "recall",
    "review",
    "run",
    "slow",
    "watch",
):
    app.command(f"plainsql.cli.{_name}:{_name}", name=_name)
app.command("plainsql.cli.import_queries:import_queries", name="import")
app.command("plainsql.cli.cases:cases", name="test")
for _name in ("cache", "crypto", "db", "layers", "migrate", "new", "schema", "scratch", "stats"):
    app.command(f"plainsql.cli.{_name}:app", name=_name)


def load_commands() -> list[PluginError]:
    """Import all commands, for a list of them with their texts; return the errors of broken plugins."""
    errors = add_plugins(app)
    for name in app:
        app[name]
    return errors


def main(arguments: list[str] | None = None) -> int:
    """Run a command, and return its exit code: 0 fine, 1 findings or a failure, 2 could not run."""
    with standard_streams(), _shown_deprecations(), interrupting_signals() as signals:
        try:
            given = sys.argv[1:] if arguments is None else arguments
            with _project_folder(given) as words:
                rest, database = take_database(with_new_names(words))
                _prepare(rest)
                result = run_on_databases(rest, database, _run)
                sys.stdout.flush()  # here, as main reports that the reader of a pipe has gone
        except PlainsqlError as error:
            _complain(str(error))
            return COULD_NOT_RUN
        except ImportError as error:  # of a command's module, which is imported now
            missing = error.__cause__
            name = (missing.name or "") if isinstance(missing, ModuleNotFoundError) else ""
            if not name or name.partition(".")[0] == "plainsql":
                raise
            _complain(f"this command needs {name}\nHINT: pip install 'plainsql[cli]'")
            return COULD_NOT_RUN
        except cyclopts.CycloptsError as error:
            print_usage_error(error)
            return COULD_NOT_RUN
        except KeyboardInterrupt as interrupt:
            _complain(str(interrupt) or "interrupted")
            return signals.exit_code
        except BrokenPipeError:  # the reader of our output has gone: `plainsql … | head`
            _discard_output()
            return FINE
        except OSError as error:
            if error.filename is None and error.errno not in _NO_ROOM:
                raise
            where = error.filename or "the output cannot be written"
            _discard_output()
            _complain(f"{where}: {(error.strerror or str(error)).lower()}")
            return COULD_NOT_RUN
        except Exception as error:
            psycopg = sys.modules.get("psycopg")
            if psycopg is None or not isinstance(error, psycopg.OperationalError):
                raise
            text = str(error).partition("\n")[0]
            _complain(
                f"the connection to the database was lost: {text}\nHINT: read the server's log, and try again"
            )
            return COULD_NOT_RUN
    return result if isinstance(result, int) else 0


def _run(arguments: list[str]) -> object:
    return app(arguments, exit_on_error=False, print_error=False, result_action="return_value")


def _prepare(arguments: Sequence[str]) -> None:
    """Load the plugins that a command line needs: none for a command of plainsql's own."""
    first = arguments[0] if arguments else "--help"
    if first in ("--help", "-h", "completion"):
        for error in load_commands():
            _complain(str(error))
    elif first not in app:
        add_plugin(app, first)
        if first not in app:
            add_plugins(app)  # for the list of commands in the error


@contextmanager
def _shown_deprecations() -> Iterator[None]:
    """Print the warnings of old names, which Python hides, as one line each: in SQL files, in modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", PlainsqlDeprecationWarning)
        show = warnings.showwarning

        def print_deprecation(
            message: Warning | str, category: type[Warning], *place: Any, **more: Any
        ) -> None:
            if issubclass(category, PlainsqlDeprecationWarning):
                _complain(f"warning: {message}")
            else:
                show(message, category, *place, **more)

        warnings.showwarning = print_deprecation
        yield


@contextmanager
def _project_folder(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Change to the folder of ``-C DIR`` or ``--project DIR``; yield the other arguments.

    It may be before or after the command's name: a hook appends its arguments.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    at = next((i for i in range(end) if _PROJECT.fullmatch(arguments[i])), None)
    # A plugin may have an option of this name.
    if at is None or (at > 0 and not arguments[0].startswith("-") and arguments[0] not in app):
        yield list(arguments)
        return
    first, equals, folder = arguments[at].partition("=")
    before, rest = list(arguments[:at]), list(arguments[at + 1 :])
    if not equals:
        if not rest:
            raise SettingsError(
                f"{first}: expected a folder, got nothing", hint="for example: plainsql -C backend check"
            )
        folder = rest.pop(0)
    try:
        with chdir(folder):
            yield before + rest
    except (FileNotFoundError, NotADirectoryError) as error:
        if error.filename != folder:
            raise
        raise SettingsError(f"{folder}: there is no such folder", hint=f"{first} names a folder") from None


def _complain(text: str) -> None:
    with suppress(OSError):  # standard error may be closed as well
        print(text, file=sys.stderr)


def _discard_output() -> None:
    """Send the rest of the buffer to the null device: flushing it at exit would fail."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
