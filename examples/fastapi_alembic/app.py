"""A FastAPI application whose tables are Alembic's, and whose session is SQLAlchemy's.

The ORM writes a transfer, plainsql moves the money, and one transaction has both.

alembic upgrade head && uvicorn --factory app:create_app        on DATABASE_URL
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from queries import accounts
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import plainsql


class Base(DeclarativeBase):
    pass


class Transfer(Base):
    __tablename__ = "transfers"
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int]
    target_id: Mapped[int]
    amount: Mapped[Decimal]


async def session_of(request: Request) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(request.app.state.engine) as session, session.begin():
        yield session


# The transaction ends before the response is sent.
Session = Annotated[AsyncSession, Depends(session_of, scope="function")]


async def transfer(session: Session, source_id: int, target_id: int, amount: Decimal) -> dict[str, Decimal]:
    session.add(Transfer(source_id=source_id, target_id=target_id, amount=amount))
    # The session is flushed first, as for a query of its own.
    balance = await accounts.move(
        plainsql.over(session), source_id=source_id, target_id=target_id, amount=amount
    )
    if balance is None:  # the exception rolls the transfer back
        raise HTTPException(404, "no such account")
    return {"balance": balance}


async def list_accounts(session: Session, limit: int = 20) -> list[accounts.Account]:
    return await accounts.list_with_totals(plainsql.over(session), limit=limit)


async def unprocessable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 422)


async def refused(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the transfer is refused"}, 409)


def create_app(url: str | None = None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        given = url or os.environ["DATABASE_URL"]
        app.state.engine = create_async_engine(given.replace("postgresql://", "postgresql+asyncpg://", 1))
        yield
        await app.state.engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.post("/transfers", status_code=201)(transfer)
    app.get("/accounts")(list_accounts)
    app.add_exception_handler(plainsql.BindError, unprocessable)
    for error in (IntegrityError, asyncpg.IntegrityConstraintViolationError):
        app.add_exception_handler(error, refused)
    return app
