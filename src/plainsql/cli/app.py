"""The ``plainsql`` command: its commands, and what an error looks like."""

from __future__ import annotations

import os
import sys
from typing import Any

import cyclopts
import psycopg
from cyclopts import App

import plainsql
from plainsql.cli import check, demo, describe, generate, init, run
from plainsql.cli.cache import app as cache_app
from plainsql.cli.crypto import app as crypto_app
from plainsql.cli.db import app as db_app
from plainsql.cli.exits import COULD_NOT_RUN, FINE, INTERRUPTED
from plainsql.cli.marketplace import app as marketplace_app
from plainsql.cli.migrate import app as migrate_app
from plainsql.errors import PlainsqlError

__all__ = ["app", "main"]

app = App(
    name="plainsql",
    help="PostgreSQL without an ORM: hand-written SQL files as typed, fast Python.",
    version=plainsql.__version__,
    suppress_keyboard_interrupt=False,  # main says so
)
app.command(init.init)
app.command(check.check)
app.command(generate.generate)
app.command(describe.describe)
app.command(run.run)
app.command(migrate_app)
app.command(cache_app)
app.command(crypto_app)
app.command(db_app)
app.command(demo.demo)
app.command(marketplace_app)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 fine, 1 findings or a failure, 2 could not run."""
    try:
        result: Any = app(arguments, exit_on_error=False, result_action="return_value")
        sys.stdout.flush()  # here, where a reader that has gone is still an error of ours
    except PlainsqlError as error:
        print(error, file=sys.stderr)
        return COULD_NOT_RUN
    except cyclopts.CycloptsError:
        return COULD_NOT_RUN  # it has said so itself
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone: `plainsql … | head`
        # What is left in the buffer goes nowhere, and the interpreter does not complain of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except psycopg.OperationalError as error:
        text = str(error).partition("\n")[0]
        print(f"the database has gone away: {text}\nHINT: look into its log, and try again", file=sys.stderr)
        return COULD_NOT_RUN
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{error.filename}: {(error.strerror or str(error)).lower()}", file=sys.stderr)
        return COULD_NOT_RUN
    return result if isinstance(result, int) else 0
