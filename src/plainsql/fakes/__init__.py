"""Executors without a database, for unit tests of the code around your queries.

::

    fake = FakeExecutor()
    fake.returns(leads.get_by_id, lead)
    assert await greeting(fake, lead.id) == "Hello Ana"
    assert fake.calls(leads.get_by_id) == [{"id": lead.id}]

Type checkers compare each answer with the result of its query, and the calls have the query's parameters. No
SQL runs: test the queries themselves on a real database, with the fixtures of ``plainsql.testing``.
"""

from plainsql.fakes.answers import FakeCall, UnexpectedCallError
from plainsql.fakes.fake_executors import FakeExecutor, FakeSyncExecutor

__all__ = ["FakeCall", "FakeExecutor", "FakeSyncExecutor", "UnexpectedCallError"]
