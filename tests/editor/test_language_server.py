"""``plainsql lsp`` with a client of the protocol, over standard input and output."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lsprotocol import types

from tests.editor.conftest import FILES, GET, Editor, editor, write

FILE = "sql/shop/leads/get_by_id.sql"
STAR = "-- All.\n-- returns: many Visitor\nselect *\nfrom shop.leads as ünï\norder by ünï.id\nlimit 5\n"
OTHER = {
    "pyproject.toml": "[tool.plainsql]\n",
    "migrations/0001_bad.sql": "create table notes (id bigint);\nalter table nots add column text text;\n",
    "sql/notes/list.sql": "-- Notes.\n-- returns: value\nselect 1 as one\n",
}


async def test_an_editor_gets_what_check_knows_while_it_types(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    shop, other = write(tmp_path / "shop"), write(tmp_path / "other", OTHER)
    async with editor(shop, other, environment=environment) as ide:
        await _diagnostics(ide)
        await _hovers(ide)
        await _completions(ide)
        await _places(ide)
        await _quick_fix(ide)
        await _files(ide)
        await _other_project(Editor.uri(ide, "../other/migrations/0001_bad.sql"), ide)
        assert not [message for message in ide.messages if "hunter2" in message]
        assert ide.messages == []


async def _diagnostics(ide: Editor) -> None:
    ide.open(FILE)
    await ide.until(FILE)
    ide.change(FILE, GET.replace("l.email", "l.emial"))
    (found,) = await ide.until(FILE, "refused")
    assert (
        found.message
        == 'column l.emial does not exist\nhint: Perhaps you meant to reference the column "l.email".'
    )
    assert (found.severity, found.source) == (types.DiagnosticSeverity.Error, "plainsql")
    assert found.range == types.Range(types.Position(4, 2), types.Position(4, 9))
    assert found.code_description is not None
    assert found.code_description.href.endswith("docs/findings.md#errors-that-cannot-be-allowed")
    ide.change(FILE, GET.replace("where l.id = :id", "where l.id > :id"))
    (found,) = await ide.until(FILE, "unproved-one")
    assert found.severity == types.DiagnosticSeverity.Warning
    ide.change(FILE, GET.replace("returns", "retruns"))
    await ide.until(FILE, "sql-file")
    ide.change(FILE, GET)
    await ide.until(FILE)


async def _hovers(ide: Editor) -> None:
    for marked, wanted in (
        (":i|d", "`:id` **bigint**, not null: used by =, which is null for null"),
        ("  l.em|ail", "`email` **text**, not null: not-null column\n\nfrom `shop.leads.email`"),
        ("where l.|id", "`shop.leads.id` **bigint**, not null\n\npart of `leads_pkey`"),
        ("shop.lea|ds", "| `seen` | timestamp with time zone | yes |"),
        ("as |l", "table `shop.leads`"),
        ("ret|urns", "returns `optional Lead`: optional (equality on the unique key leads_pkey (id))"),
    ):
        hover = await ide.client.text_document_hover_async(types.HoverParams(**ide.at(FILE, marked)))
        assert hover is not None, marked
        assert isinstance(hover.contents, types.MarkupContent)
        assert wanted in hover.contents.value
    assert await ide.client.text_document_hover_async(types.HoverParams(**ide.at(FILE, "wh|ere"))) is None


async def _completions(ide: Editor) -> None:
    async def labels(text: str, marked: str) -> Sequence[str]:
        ide.change(FILE, text)
        found = await ide.client.text_document_completion_async(
            types.CompletionParams(**ide.at(FILE, marked))
        )
        assert isinstance(found, types.CompletionList)
        return [item.label for item in found.items]

    # A text that PostgreSQL cannot read yet.
    assert await labels(GET.replace("l.email", "l."), "  l.|\n") == ["id", "email", "seen"]
    assert await labels(GET.replace("shop.leads as l", "shop."), "from shop.|") == ["leads"]
    assert "shop.leads" in await labels(GET.replace("shop.leads as l", "s"), "from s|")
    assert (await labels(GET.replace(":id", ":"), "= :|"))[:2] == ["id", "email"]
    assert "optional Lead" in await labels(GET.replace("optional Lead", ""), "returns: |")
    assert "param " in await labels(GET.replace("-- returns", "-- p\n-- returns"), "-- p|")
    assert await labels(GET.replace("\nselect", "\n-- param \nselect"), "-- param |") == ["id"]
    assert "star: " in await labels(GET.replace("\nselect", "\n-- allow: \nselect"), "-- allow: |")
    ide.change(FILE, GET)
    await ide.until(FILE)


async def _places(ide: Editor) -> None:
    async def definition(path: str, marked: str) -> tuple[str, int]:
        found = await ide.client.text_document_definition_async(
            types.DefinitionParams(**ide.at(path, marked))
        )
        assert isinstance(found, Sequence)
        (place,) = found
        assert isinstance(place, types.Location)
        return place.uri, place.range.start.line

    assert await definition(FILE, "shop.lea|ds") == (ide.uri("migrations/0001_shop.sql"), 1)
    ide.open("app.py")
    assert await definition("app.py", "leads.get_by|_id") == (ide.uri(FILE), 0)
    write(
        ide.folder, {"queries/shop/leads.py": "# Generated by plainsql\n\ndef get_by_id(*, id):\n    ...\n"}
    )
    assert await definition(FILE, "ret|urns") == (ide.uri("queries/shop/leads.py"), 2)
    context = types.ReferenceContext(include_declaration=False)
    uses = await ide.client.text_document_references_async(
        types.ReferenceParams(context=context, **ide.at(FILE, "ret|urns"))
    )
    assert [(each.uri, each.range.start.line) for each in uses or ()] == [(ide.uri("app.py"), 4)]
    (symbol,) = await ide.client.text_document_document_symbol_async(
        types.DocumentSymbolParams(ide.document(FILE))
    ) or [None]
    assert isinstance(symbol, types.DocumentSymbol)
    assert (symbol.name, symbol.detail) == ("shop.leads.get_by_id", "returns optional Lead")
    assert [(each.name, each.detail) for each in symbol.children or ()] == [
        (":id", "bigint"),
        ("id", "bigint"),
        ("email", "text"),
    ]


async def _quick_fix(ide: Editor) -> None:
    path = "sql/shop/leads/all.sql"
    write(ide.folder, {path: STAR})
    ide.open(path)
    (star,) = await ide.until(path, "star")
    assert star.range.start == types.Position(2, 7)
    actions = await ide.client.text_document_code_action_async(
        types.CodeActionParams(ide.document(path), star.range, types.CodeActionContext([star]))
    )
    assert actions is not None
    [action] = actions
    assert isinstance(action, types.CodeAction)
    assert action.title == "Write out the columns"
    assert action.edit is not None
    assert action.edit.changes is not None
    (edit,) = action.edit.changes[ide.uri(path)]
    assert edit.new_text.replace('"', "") == "\n  ünï.id,\n  ünï.email,\n  ünï.seen"
    assert edit.range == types.Range(types.Position(2, 6), types.Position(2, 8))
    ide.change(path, STAR.replace("*", edit.new_text))
    await ide.until(path)
    ide.save(path)


async def _files(ide: Editor) -> None:
    """Files that the editor does not have open change: a migration, the settings."""
    write(ide.folder, {"migrations/0002_seen.sql": "alter table shop.leads drop column seen;\n"})
    ide.save(FILE)
    await ide.until("sql/shop/leads/touch.sql", "refused")
    (ide.folder / "migrations" / "0002_seen.sql").unlink()
    change = types.FileEvent(ide.uri("migrations/0002_seen.sql"), types.FileChangeType.Deleted)
    ide.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([change]))
    await ide.until("sql/shop/leads/touch.sql")
    write(ide.folder, {"pyproject.toml": '[tool.plainsql.allow]\n"**/touch.sql" = "stra: no"\n'})
    ide.save(FILE)
    await ide.until("pyproject.toml", "allow")
    write(ide.folder, {"pyproject.toml": FILES["pyproject.toml"]})
    ide.save(FILE)
    await ide.until("pyproject.toml")


async def _other_project(uri: str, ide: Editor) -> None:
    """The second project of the editor, whose migration fails."""
    await ide.until("../other/migrations/0001_bad.sql", "refused")
    (found,) = ide.diagnostics[uri]
    assert 'relation "nots" does not exist' in found.message
    assert found.range.start.line == 1


async def test_a_server_that_cannot_be_reached_is_shown_without_its_password(tmp_path: Path) -> None:
    environment = {"PLAINSQL_SCRATCH_URL": "postgresql://app:hunter2@127.0.0.1:1/none?connect_timeout=1"}
    files = {**FILES, "sql/shop/leads/bad.sql": "-- Bad.\n-- retruns: value\nselect 1\n"}
    async with editor(write(tmp_path / "shop", files), environment=environment) as ide:
        assert "hunter2" not in await ide.until_shown("127.0.0.1")
        await ide.until("sql/shop/leads/bad.sql", "sql-file")  # it needs no database


def test_a_signal_ends_the_server_while_it_waits_for_a_message(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "plainsql", "lsp"]
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}
    content = json.dumps(request).encode()
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"Content-Length: ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
