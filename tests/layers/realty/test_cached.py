"""The queries that the layer caches, and the writes that invalidate them, as a reviewer expects them."""

from __future__ import annotations

import pytest

from plainsql.dependencies import Dependency
from plainsql.layers.realty import conversations, leads, messages, projects, properties, typologies
from plainsql.query import Query

SEARCHES = (projects.search, projects.search_hybrid, properties.search, properties.search_hybrid)


def known(query: Query[..., object, object], table: str, column: str) -> tuple[str, str] | None:
    """Return the source of the column value by which a query selects rows of a table, or ``None``."""
    (change,) = (change for change in query.compiled.changes if change.table == table)
    sources = [(source, name) for each, source, name in change.known if each == column]
    return sources[0] if sources else None


def test_recent_messages_depend_on_their_conversation_alone() -> None:
    assert messages.recent.compiled.cache is not None
    assert messages.recent.compiled.cache.dependencies == (
        Dependency("realty.messages", "conversation_id", "conversation_id"),
    )


@pytest.mark.parametrize(
    ("query", "source"),
    [
        (messages.append, ("parameter", "conversation_id")),
        (messages.create, ("parameter", "conversation_id")),
        (messages.update, ("returned", "conversation_id")),
        (conversations.delete, ("parameter", "id")),
        # The statement does not name the conversation of the messages: all conversations are stale.
        (messages.delete, None),
        (leads.delete, None),
    ],
    ids=lambda value: value.name if isinstance(value, Query) else "",
)
def test_a_write_with_a_conversation_invalidates_only_its_messages(
    query: Query[..., object, object], source: tuple[str, str] | None
) -> None:
    assert known(query, "realty.messages", "conversation_id") == source


def test_searches_are_kept_for_an_hour_until_the_catalogue_changes() -> None:
    tables = ("realty.projects", "realty.properties", "realty.typologies")
    for search in SEARCHES:
        assert search.compiled.cache is not None
        assert search.compiled.cache.ttl == 3600
        assert search.compiled.cache.dependencies == tuple(Dependency(table) for table in tables)
    for write in (projects.update, properties.set_embedding, typologies.delete):
        assert {change.table for change in write.compiled.changes} & set(tables)
    assert not {change.table for change in messages.append.compiled.changes} & set(tables)
