"""SQL on the server through its own ``psql``: databases are created and dropped without a driver."""

from __future__ import annotations

import subprocess

from plainsql.embedded.binaries import Binaries, program_environment
from plainsql.errors import EmbeddedServerError

__all__ = ["run_psql"]


def run_psql(
    binaries: Binaries,
    url: str,
    sql: str,
    variables: dict[str, str],
    password: str | None,
    *,
    timeout: float | None = None,
) -> str:
    """Run SQL statements and return their output: rows of unaligned columns, separated by ``|``.

    Args:
        binaries: the programs that have ``psql``.
        url: the database's URL, without a password: every user can read command lines.
        sql: statements, in which ``:'name'`` is a variable as a string and ``:"name"`` as an identifier.
        variables: values by name.
        password: the password, for servers that require one.
        timeout: the most seconds; no limit by default.

    Raises ``EmbeddedServerError`` with the server's message if a statement is refused, and
    ``subprocess.TimeoutExpired``.
    """
    command = [str(binaries.path("psql")), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]
    command += ["--set=ON_ERROR_STOP=1", "--set=SHOW_CONTEXT=never", "--no-password", "--dbname", url]
    command += [f"--set={name}={value}" for name, value in variables.items()]
    done = subprocess.run(
        command,
        input=sql,
        capture_output=True,
        text=True,
        env=program_environment(**({"PGPASSWORD": password} if password else {})),
        check=False,
        timeout=timeout,
    )
    if done.returncode != 0:
        first, *more = done.stderr.strip().splitlines() or [f"psql ended with status {done.returncode}"]
        message = first.partition("ERROR:")[2].strip() or first
        raise EmbeddedServerError(message, detail="\n".join(more) or None)
    return done.stdout.rstrip("\n")
