"""Valid rows for tests, made from the schema: only what matters to a test is given.

::

    factory = Factory(db)
    order = factory.create("shop.orders", total=10)
    order.customer_id

The row that an order needs, its customer, is created too.
"""

from plainsql.factories.created_row import CreatedRow
from plainsql.factories.row_factory import Factory, FactoryError

__all__ = ["CreatedRow", "Factory", "FactoryError"]
