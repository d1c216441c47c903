"""``plainsql.sync.over`` on Django's connection: ``transaction.atomic`` governs."""

from __future__ import annotations

from collections.abc import Generator
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from plainsql.sync import GuestExecutor, over
from tests.database.ask import count, many

# It has no types.
conf, django, db_of_django = map(import_module, ("django.conf", "django", "django.db"))
transaction: Any = import_module("django.db.transaction")

ADD = count("insert into shop.leads (name) values (:name)", "name")
NAMES = many("select name from shop.leads order by name")


@pytest.fixture
def django_connection(shop_url: str, connection: psycopg.Connection[Any]) -> Generator[Any]:
    """Django's connection to the module's shop, whose leads go at the end of the test."""
    connections: Any = db_of_django.connections
    if not conf.settings.configured:
        conf.settings.configure()
        django.setup()
    parts = urlsplit(shop_url)
    host, port = (parse_qs(parts.query)[name][0] for name in ("host", "port"))
    connections.databases["shop"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "HOST": host,
        "PORT": port,
    }
    connections.configure_settings(connections.databases)
    yield connections["shop"]
    connections["shop"].close()
    del connections["shop"], connections.databases["shop"]
    connection.execute("delete from shop.leads")


def over_django(wrapper: Any) -> GuestExecutor:
    wrapper.ensure_connection()
    driver: psycopg.Connection[Any] = wrapper.connection
    return over(driver)


def names(connection: psycopg.Connection[Any]) -> list[str]:
    """The names that another connection sees."""
    return [name for (name,) in connection.execute("select name from shop.leads order by name")]


def test_atomic_governs(django_connection: Any, connection: psycopg.Connection[Any]) -> None:
    ADD(over_django(django_connection), name="ana")
    assert names(connection) == ["ana"]
    with transaction.atomic(using="shop"):
        with django_connection.cursor() as cursor:
            cursor.execute("insert into shop.leads (name) values ('bob')")
        db = over_django(django_connection)
        assert NAMES(db) == ["ana", "bob"]
        with pytest.raises(psycopg.errors.UniqueViolation), transaction.atomic(using="shop"):
            ADD(db, name="ana")
        with db.transaction() as tx:
            ADD(tx, name="cid")
        assert names(connection) == ["ana"]
    assert names(connection) == ["ana", "bob", "cid"]
    with transaction.atomic(using="shop"):
        ADD(over_django(django_connection), name="dan")
        transaction.set_rollback(True, using="shop")
    assert names(connection) == ["ana", "bob", "cid"]
