"""The synchronous side: threads that call through ``plainsql.sync``, and share a connection."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import psycopg

import plainsql
from benchmarks.fault_soak.calls import (
    EXPECTED_CLASSES,
    FACTS,
    TENANTS,
    Limits,
    Observed,
    WrongAnswerError,
    expect,
    fact,
)
from benchmarks.fault_soak.history import ACKNOWLEDGED, REFUSED, UNKNOWN
from benchmarks.fault_soak.queries import soak as queries
from plainsql.sync import Database

__all__ = ["run_scripts"]

_THREADS = 2


def run_scripts(url: str, observed: Observed, limits: Limits, seed: int, seconds: float) -> list[str]:
    """Call from several threads for so many seconds; return what does not work afterwards."""
    ends_at = time.monotonic() + seconds
    with plainsql.sync.connect(
        url, connect_timeout=2, statement_timeout=limits.statement, application_name="soak"
    ) as db:
        scripts = [_Script(db, observed, seed + n, ends_at) for n in range(_THREADS)]
        threads = [threading.Thread(target=script.run, daemon=True) for script in scripts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 60)
        left = [f"a script of {script.calls} calls hangs" for script in scripts if not script.ended]
        said = ""
        for _ in range(3):
            try:
                queries.echo(db, token=1)
            except (psycopg.Error, plainsql.ConnectError, OSError) as error:
                said = f"plainsql.sync does not work: {error}"
            else:
                return left
        return [*left, said]


class _Script:
    def __init__(self, db: Database, observed: Observed, seed: int, ends_at: float) -> None:
        self._db = db
        self._observed = observed
        self._random = random.Random(seed)
        self._ends_at = ends_at
        self.calls = 0
        self.ended = False

    def run(self) -> None:
        kinds: list[Callable[[], None]] = [self.read, self.read, self.tenant, self.put, self.transaction]
        observed = self._observed
        while time.monotonic() < self._ends_at:
            call = self._random.choice(kinds)
            try:
                call()
                self.calls += 1
                with observed.lock:
                    observed.calls[f"sync {call.__name__}"] += 1
            except WrongAnswerError as error:
                with observed.lock:
                    observed.wrong_answers += 1
                    observed.note(f"sync {call.__name__}: {error}")
            except Exception as error:  # noqa: BLE001 (it is judged)
                with observed.lock:
                    observed.errors[f"sync {type(error).__name__}"] += 1
                    if not _is_expected(error):
                        observed.unexpected_errors += 1
                        observed.note(f"sync {call.__name__}: {type(error).__name__}: {error}")
                time.sleep(0.001)
        self.ended = True

    def read(self) -> None:
        number = self._random.randrange(FACTS)
        expect(queries.get_fact(self._db, id=number), queries.Fact(number, fact(number)))

    def tenant(self) -> None:
        name = f"tenant-{self._random.randrange(TENANTS)}"
        found = queries.list_secrets(self._db.tenant(name), first=0)
        expect(found, [queries.Secret(name, n) for n in range(1, 6)])

    def put(self) -> None:
        with self._observed.lock:
            set_id = self._observed.next_set(1)
        outcome = UNKNOWN
        try:
            expect(queries.put(self._db, token=set_id, set_id=set_id, set_size=1), 1)
            outcome = ACKNOWLEDGED
        except Exception as error:
            outcome = _outcome_of(error)
            raise
        finally:
            with self._observed.lock:
                self._observed.history.add(outcome, set_id, 1)

    def transaction(self) -> None:
        with self._observed.lock:
            set_id = self._observed.next_set(2)
        outcome = UNKNOWN
        try:
            with self._db.transaction() as tx:
                expect(queries.put(tx, token=set_id, set_id=set_id, set_size=2), 1)
                with tx.transaction() as savepoint:
                    expect(
                        queries.put_back(savepoint, token=set_id + 1, set_id=set_id, set_size=2), set_id + 1
                    )
            outcome = ACKNOWLEDGED
        except Exception as error:
            outcome = _outcome_of(error)
            raise
        finally:
            with self._observed.lock:
                self._observed.history.add(outcome, set_id, 2)


def _is_expected(error: Exception) -> bool:
    if isinstance(error, plainsql.TransactionError):
        return "held by a transaction" in str(error)  # the other thread's
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith(EXPECTED_CLASSES)
    return isinstance(error, psycopg.OperationalError | plainsql.ConnectError | TimeoutError)


def _outcome_of(error: Exception) -> int:
    notes = " ".join(getattr(error, "__notes__", ()))
    if isinstance(error, plainsql.ConnectError | plainsql.TransactionError) or "nothing of it" in notes:
        return REFUSED
    if isinstance(error, psycopg.Error) and error.sqlstate and not error.sqlstate.startswith(("08", "57P")):
        return REFUSED
    return UNKNOWN
