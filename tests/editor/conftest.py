"""A project on whose files the language server works, and a client of its protocol."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.lsp.client import LanguageClient

GET = """\
-- The lead of this id.
-- returns: optional Lead
select
  l.id,
  l.email
from shop.leads as l
where l.id = :id
"""
FILES = {
    "pyproject.toml": "[tool.plainsql]\n",
    "migrations/0001_shop.sql": (
        "create schema shop;\n"
        "create table shop.leads (id bigint primary key, email text not null, seen timestamptz);\n"
        "comment on column shop.leads.seen is 'The last visit.';\n"
    ),
    "migrations/0001_shop.rollback.sql": "drop schema shop cascade;\n",
    "sql/shop/leads/get_by_id.sql": GET,
    "sql/shop/leads/touch.sql": (
        "-- Note a visit.\n-- returns: count\nupdate shop.leads as l set seen = now()\nwhere l.id = :id\n"
    ),
    "app.py": (
        "from queries.shop import leads\n\n\n"
        "async def show(db):\n    return await leads.get_by_id(db, id=1)\n"
    ),
}


def _function(method: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """A function that calls a method: the client sets attributes on it."""

    async def handle(params: Any) -> None:
        await method(params)

    return handle


_NET_S = 60
"""A net under each wait: the server has gone wrong, and its process has to be ended."""


class Editor:
    """An editor: it opens, changes and saves files, and has the diagnostics that the server sent."""

    def __init__(self, client: LanguageClient, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.diagnostics: dict[str, list[types.Diagnostic]] = {}
        self.messages: list[str] = []
        self.registered: list[str] = []
        self._texts: dict[str, str] = {}
        self._versions: dict[str, int] = defaultdict(int)
        self._news = asyncio.Condition()

        client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(_function(self._published))
        client.feature(types.WINDOW_SHOW_MESSAGE)(_function(self._was_shown))
        client.feature(types.CLIENT_REGISTER_CAPABILITY)(_function(self._registered))

    async def _published(self, params: types.PublishDiagnosticsParams) -> None:
        async with self._news:
            self.diagnostics[params.uri] = list(params.diagnostics)
            self._news.notify_all()

    async def _was_shown(self, params: types.ShowMessageParams) -> None:
        async with self._news:
            self.messages.append(params.message)
            self._news.notify_all()

    async def _registered(self, params: types.RegistrationParams) -> None:
        self.registered = [each.method for each in params.registrations]

    def uri(self, path: str) -> str:
        return (self.folder / path).resolve().as_uri()

    def open(self, path: str, text: str | None = None) -> None:
        text = (self.folder / path).read_text() if text is None else text
        self._texts[path] = text
        language = "python" if path.endswith(".py") else "sql"
        document = types.TextDocumentItem(self.uri(path), language, 0, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(document))

    def change(self, path: str, text: str) -> None:
        """Replace the text, unsaved."""
        self._texts[path] = text
        self._versions[path] += 1
        document = types.VersionedTextDocumentIdentifier(self._versions[path], self.uri(path))
        whole = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [whole]))

    def save(self, path: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._texts[path])
        self.client.text_document_did_save(types.DidSaveTextDocumentParams(self.document(path)))

    def document(self, path: str) -> types.TextDocumentIdentifier:
        return types.TextDocumentIdentifier(self.uri(path))

    def at(self, path: str, marked: str) -> dict[str, Any]:
        """The place of ``|`` in a part of the text of an open file, as parameters of a request."""
        before, _, after = marked.partition("|")
        offset = self._texts[path].index(before + after) + len(before)
        lines = self._texts[path][:offset].split("\n")
        units = len(lines[-1].encode("utf-16-le")) // 2
        return {
            "text_document": self.document(path),
            "position": types.Position(len(lines) - 1, units),
        }

    async def until(self, path: str, *names: str) -> list[types.Diagnostic]:
        """Return the diagnostics of a file, when they are those of the names."""

        def found() -> bool:
            return sorted(str(each.code) for each in self.diagnostics.get(self.uri(path), [])) == sorted(
                names
            )

        try:
            async with self._news:
                await asyncio.wait_for(self._news.wait_for(found), _NET_S)
        except TimeoutError:
            raise AssertionError(f"{path}: expected {names}, got {self.diagnostics}") from None
        return self.diagnostics.get(self.uri(path), [])

    async def until_shown(self, text: str) -> str:
        """Return the message that has a text, when it is shown."""
        async with self._news:
            await self._news.wait_for(lambda: any(text in each for each in self.messages))
        return next(each for each in self.messages if text in each)


@asynccontextmanager
async def editor(folder: Path, *others: Path, environment: Mapping[str, str]) -> AsyncGenerator[Editor]:
    """An editor of some folders, whose server is a process."""
    client = LanguageClient("test", "1")
    given = {**os.environ, **environment}
    await client.start_io(sys.executable, "-m", "plainsql", "lsp", env=given, cwd=folder)
    found = Editor(client, folder)
    files = types.DidChangeWatchedFilesClientCapabilities(dynamic_registration=True)
    await client.initialize_async(
        types.InitializeParams(
            types.ClientCapabilities(
                workspace=types.WorkspaceClientCapabilities(did_change_watched_files=files)
            ),
            workspace_folders=[types.WorkspaceFolder(each.as_uri(), each.name) for each in (folder, *others)],
        )
    )
    client.initialized(types.InitializedParams())
    try:
        yield found
    finally:
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]


def write(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """Write a project into a folder."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    """The variables with which the server checks on a database of this module."""
    return {"PLAINSQL_SCRATCH_URL": database_url, "DATABASE_URL": "postgresql://app:hunter2@db.invalid/shop"}
