"""Alembic's environment: it migrates the database of DATABASE_URL."""

from __future__ import annotations

import os

import sqlalchemy
from alembic import context

URL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1)

with sqlalchemy.create_engine(URL).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
