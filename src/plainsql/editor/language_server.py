"""The language server: the protocol of editors over standard input and output.

One thread checks, for all projects: a check works in the folder of its project. The loop answers from what
the last check found, so that a hover does not wait for a check.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, Final, TypeVar

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from plainsql.check.finding_pages import page_url
from plainsql.check.problem_rules import ERRORS, RULES
from plainsql.check.problems import Fix, Problem
from plainsql.codegen import Checked
from plainsql.editor.completions import proposals
from plainsql.editor.destinations import (
    Destination,
    function_of,
    query_file,
    query_name,
    table_of,
    uses_of,
)
from plainsql.editor.edited_project import EditedProject, projects_around
from plainsql.editor.edited_text import EditedText
from plainsql.editor.hovers import hover_text
from plainsql.editor.outline import outline
from plainsql.errors import PlainsqlError

__all__ = ["serve"]

_Result = TypeVar("_Result")

_QUIET_S: Final = 0.1
"""The quiet after a key before the folder of the file is checked."""
_WHOLE_QUIET_S: Final = 1.0
"""The quiet after a key before the whole project is checked."""
_WORD: Final = re.compile(r"""'[^']*'|"[^"]*"|:?\w[\w$-]*(?:\.(?:[\w$]+|"[^"]+"|\*))*""")
"""The part of a line that is marked: a name with its qualifier, a parameter, a literal."""
_KINDS: Final = {
    "table": types.CompletionItemKind.Class,
    "column": types.CompletionItemKind.Field,
    "parameter": types.CompletionItemKind.Variable,
    "keyword": types.CompletionItemKind.Keyword,
    "value": types.CompletionItemKind.EnumMember,
}


def serve(scratch: str | None = None, *, version: str) -> None:
    """Serve an editor until it ends.

    ``scratch`` is the URL of a server for the scratch databases, ``version`` is plainsql's.
    """
    with _protocol_streams() as (reader, writer):
        server = _Server(scratch, version)
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            if (number := getattr(signal, name, None)) is not None:
                signal.signal(number, server.end)
        try:
            server.protocol_server.start_io(reader, writer)
        finally:
            server.close()


@contextmanager
def _protocol_streams() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Yield the streams of the protocol; anything else that is printed goes to standard error.

    The processes that a check starts, such as the embedded server, get neither of them.
    """
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    sys.stdout.flush()
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    try:
        yield reader, writer
    finally:
        with suppress(OSError, ValueError):
            writer.close()
        with suppress(OSError, ValueError):
            reader.close()


class _Server:
    """The projects of one editor."""

    def __init__(self, scratch: str | None, version: str) -> None:
        self._scratch = scratch
        self._worker = ThreadPoolExecutor(1, "plainsql-check")
        self._projects: dict[Path, list[EditedProject]] = {}
        """The databases of each project, by its root."""
        self._timers: dict[object, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._published: dict[Path, tuple[str | None, list[tuple[types.Diagnostic, Fix | None]]]] = {}
        """The diagnostics of each file, with the text that they are about if it is open."""
        self._reported: dict[EditedProject, set[Path]] = {}
        """The files with problems in the last check of all files of a project."""
        self._shown: set[str] = set()
        self.protocol_server = server = LanguageServer("plainsql", version)
        handlers: dict[str, Callable[[Any], Awaitable[object]]] = {
            types.INITIALIZED: self._initialized,
            types.TEXT_DOCUMENT_DID_OPEN: self._opened,
            types.TEXT_DOCUMENT_DID_CHANGE: self._changed,
            types.TEXT_DOCUMENT_DID_SAVE: self._saved,
            types.TEXT_DOCUMENT_DID_CLOSE: self._closed,
            types.WORKSPACE_DID_CHANGE_WATCHED_FILES: self._files_changed,
            types.TEXT_DOCUMENT_HOVER: self._hover,
            types.TEXT_DOCUMENT_DEFINITION: self._definition,
            types.TEXT_DOCUMENT_REFERENCES: self._references,
            types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: self._symbols,
        }
        for method, handler in handlers.items():
            server.feature(method)(_function(handler))
        server.feature(
            types.TEXT_DOCUMENT_COMPLETION,
            types.CompletionOptions(trigger_characters=[".", ":", " "]),
        )(_function(self._completion))
        server.feature(
            types.TEXT_DOCUMENT_CODE_ACTION,
            types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix]),
        )(_function(self._actions))

    def close(self) -> None:
        """Leave the scratch databases, after the check that runs."""
        for project in self._all():
            self._worker.submit(project.close)
        self._worker.shutdown(wait=True)

    def end(self, number: int, _: FrameType | None) -> None:
        """End the process for a signal: the thread that reads would wait for the editor's next message."""
        self.close()
        os._exit(128 + number)

    # -- Projects

    def _all(self) -> list[EditedProject]:
        return [project for projects in self._projects.values() for project in projects]

    async def _in_worker(self, function: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function)

    async def _load(self, path: Path) -> list[EditedProject]:
        """Return the databases of the project around a path; load them if they are not known."""
        for root, projects in self._projects.items():
            if path.is_relative_to(root) and not any(each.is_outdated for each in projects):
                nearer = next((f for f in (path, *path.parents) if (f / "pyproject.toml").is_file()), root)
                if nearer == root:
                    return projects
        try:
            found = projects_around(path, self._scratch)
        except PlainsqlError as error:
            self._show(str(error))
            return []
        if not found:
            return []
        root = found[0].project.root
        before = self._projects.get(root, [])
        self._projects[root] = found
        for old, new in zip(before, found, strict=False):
            self._reported[new] = self._reported.pop(old, set())
        for old in before:
            await self._in_worker(old.close)
        return found

    async def _project_of(self, path: Path) -> EditedProject | None:
        """Return the database whose query or migration a file is."""
        return next((each for each in await self._load(path) if each.owns(path)), None)

    def _show(self, text: str) -> None:
        """Show an error that is about no file, once."""
        if text not in self._shown:
            self._shown.add(text)
            self.protocol_server.window_show_message(
                types.ShowMessageParams(types.MessageType.Error, f"plainsql: {text}")
            )

    # -- Checks

    def _texts(self) -> dict[Path, str]:
        """Return the texts of the open SQL files by their paths."""
        documents = self.protocol_server.workspace.text_documents.values()
        found = {}
        for document in documents:
            path = _path(document.uri)
            if path is not None and path.suffix == ".sql":
                found[path] = document.source.replace("\r\n", "\n")
        return found

    def _later(self, key: object, delay: float, check: Callable[[], object]) -> None:
        """Call a function after some quiet; a second call for a key begins the quiet again."""
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(delay, check)

    def _start(self, project: EditedProject, file: Path | None = None) -> None:
        task = asyncio.ensure_future(self._check(project, file))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check(self, project: EditedProject, file: Path | None = None) -> None:
        texts = self._texts()
        try:
            try:
                found = await self._in_worker(lambda: project.check(texts, file))
            except FileNotFoundError:  # a file was deleted after it was listed
                found = await self._in_worker(lambda: project.check(texts, file))
        except Exception as error:  # noqa: BLE001 (the editor goes on, and reports it)
            self._show(f"the check failed: {type(error).__name__}")
            return
        if file is None:
            # The problems that are gone, of files that may be gone, too.
            for path in self._reported.get(project, set()) | set(filter(project.owns, self._published)):
                found.setdefault(path, [])
            self._reported[project] = {path for path, problems in found.items() if problems}
        for path, problems in found.items():
            self._publish(path, problems, texts.get(path))
        for problem in project.without_place:
            self._show("\n".join(filter(None, (problem.message, problem.hint))))

    def _publish(self, path: Path, problems: Sequence[Problem], text: str | None) -> None:
        before = self._published.get(path)
        if before is None and not problems and text is None:
            return
        found = [(_diagnostic(problem), problem.fix) for problem in problems]
        self._published[path] = (text, found)
        diagnostics = [diagnostic for diagnostic, _ in found]
        if before is not None and [each for each, _ in before[1]] == diagnostics and text == before[0]:
            return
        uri = from_fs_path(str(path))
        for document in self.protocol_server.workspace.text_documents.values():
            if _path(document.uri) == path:
                uri = document.uri  # as the editor writes it
        if uri is not None:
            self.protocol_server.text_document_publish_diagnostics(
                types.PublishDiagnosticsParams(uri, diagnostics)
            )

    # -- Notifications

    async def _initialized(self, params: types.InitializedParams) -> None:
        server = self.protocol_server
        watched = server.client_capabilities.workspace and (
            server.client_capabilities.workspace.did_change_watched_files
        )
        if watched and watched.dynamic_registration:
            options = types.DidChangeWatchedFilesRegistrationOptions(
                [types.FileSystemWatcher("**/*.sql"), types.FileSystemWatcher("**/pyproject.toml")]
            )
            server.client_register_capability(
                types.RegistrationParams(
                    [types.Registration("files", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)]
                )
            )
        for folder in list(server.workspace.folders.values()):
            path = _path(folder.uri)
            if path is not None and path.is_dir():
                for project in await self._load(path):
                    self._start(project)

    async def _opened(self, params: types.DidOpenTextDocumentParams) -> None:
        await self._check_file(params.text_document.uri, 0.0)

    async def _changed(self, params: types.DidChangeTextDocumentParams) -> None:
        await self._check_file(params.text_document.uri, _QUIET_S)

    async def _check_file(self, uri: str, delay: float) -> None:
        path = _path(uri)
        project = await self._project_of(path) if path is not None else None
        if path is None or project is None:
            return
        if query_name(path, project.project):
            self._later(path, delay, lambda: self._start(project, path))
        self._later(project, _WHOLE_QUIET_S if delay else 0.0, lambda: self._start(project))

    async def _saved(self, params: types.DidSaveTextDocumentParams) -> None:
        path = _path(params.text_document.uri)
        for project in await self._load(path) if path is not None else ():
            self._later(project, 0.0, lambda project=project: self._start(project))  # type: ignore[misc]

    async def _closed(self, params: types.DidCloseTextDocumentParams) -> None:
        await self._check_file(params.text_document.uri, _QUIET_S)

    async def _files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        paths = {path for change in params.changes if (path := _path(change.uri)) is not None}
        for path in paths:
            for project in await self._load(path):
                if project.owns(path) or path.name == "pyproject.toml":
                    self._later(project, _QUIET_S, lambda project=project: self._start(project))  # type: ignore[misc]

    # -- Requests

    async def _sql(self, uri: str) -> tuple[EditedProject, Path, EditedText, Checked | None] | None:
        """Return the project, the path, the text and the facts of a SQL file; ``None`` for another file."""
        path = _path(uri)
        if path is None or path.suffix != ".sql":
            return None
        project = await self._project_of(path)
        if project is None:
            return None
        text = self.protocol_server.workspace.get_text_document(uri).source.replace("\r\n", "\n")
        return project, path, EditedText(text), project.checked.get(query_name(path, project.project))

    async def _hover(self, params: types.HoverParams) -> types.Hover | None:
        sql = await self._sql(params.text_document.uri)
        if sql is None:
            return None
        project, _, text, checked = sql
        found = hover_text(text, _offset(text.text, params.position), checked, project.names, project.modules)
        if found is None:
            return None
        content = types.MarkupContent(types.MarkupKind.Markdown, found.text)
        return types.Hover(content, _range(text.text, found.start, found.end))

    async def _completion(self, params: types.CompletionParams) -> types.CompletionList | None:
        sql = await self._sql(params.text_document.uri)
        if sql is None:
            return None
        project, path, text, checked = sql
        offset = _offset(text.text, params.position)
        found = proposals(text, offset, str(path), checked, project.names)
        if (
            params.context
            and params.context.trigger_character == " "
            and not _offers_after_space(text, offset)
        ):
            found = []
        items = [
            types.CompletionItem(
                each.label,
                kind=_KINDS[each.kind],
                detail=each.detail or None,
                documentation=each.documentation or None,
                sort_text=f"{number:05}",
            )
            for number, each in enumerate(found)
        ]
        return types.CompletionList(is_incomplete=False, items=items)

    async def _definition(self, params: types.DefinitionParams) -> list[types.Location]:
        sql = await self._sql(params.text_document.uri)
        if sql is not None:
            project, path, text, _ = sql
            offset = _offset(text.text, params.position)
            found = await self._in_worker(lambda: table_of(text, offset, project.names, project.project))
            if found is None:
                found = function_of(query_name(path, project.project), project.project)
            return [_location(found)] if found is not None else []
        file = _path(params.text_document.uri)
        if file is None or file.suffix != ".py":
            return []
        source = self.protocol_server.workspace.get_text_document(params.text_document.uri).source
        line, column = params.position.line + 1, _column(source, params.position)
        for project in await self._load(file):
            place = query_file(source, line, column, project.project, file, project.files)
            if place is not None:
                return [_location(place)]
        return []

    async def _references(self, params: types.ReferenceParams) -> list[types.Location]:
        sql = await self._sql(params.text_document.uri)
        if sql is not None:
            project, path, _, _ = sql
            name = query_name(path, project.project)
            return [
                _location(each) for each in await self._in_worker(lambda: [*uses_of(name, project.project)])
            ]
        return []

    async def _symbols(self, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        sql = await self._sql(params.text_document.uri)
        if sql is None:
            return []
        project, path, text, checked = sql
        name = query_name(path, project.project)
        if not name:
            return []
        children = [
            types.DocumentSymbol(
                each.name,
                types.SymbolKind.Variable if each.kind == "parameter" else types.SymbolKind.Field,
                _range(text.text, each.start, each.end),
                _range(text.text, each.start, each.end),
                detail=each.detail,
            )
            for each in outline(text, checked)
        ]
        returns = f"returns {checked.statement.returns}" if checked is not None else None
        whole = _range(text.text, 0, len(text.text))
        first = _range(text.text, 0, text.text.find("\n") if "\n" in text.text else len(text.text))
        return [
            types.DocumentSymbol(
                name, types.SymbolKind.Function, whole, first, detail=returns, children=children
            )
        ]

    async def _actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        path = _path(params.text_document.uri)
        text, published = self._published.get(path, (None, [])) if path is not None else (None, [])
        document = self.protocol_server.workspace.get_text_document(params.text_document.uri)
        if text is None or document.source.replace("\r\n", "\n") != text:
            return []  # the edits are of an older text
        found = []
        for diagnostic, fix in published:
            if fix is None or not _overlap(diagnostic.range, params.range):
                continue
            edits = [
                types.TextEdit(
                    types.Range(
                        _position(text, edit.line, edit.column),
                        _position(text, edit.end_line, edit.end_column),
                    ),
                    edit.text,
                )
                for edit in fix.edits
            ]
            found.append(
                types.CodeAction(
                    fix.title,
                    types.CodeActionKind.QuickFix,
                    [diagnostic],
                    is_preferred=True,
                    edit=types.WorkspaceEdit({params.text_document.uri: edits}),
                )
            )
        return found


def _function(method: Callable[[Any], Awaitable[object]]) -> Callable[[Any], Awaitable[object]]:
    """Return a method as a function: the library of the protocol sets attributes on it."""

    async def handle(params: Any) -> object:
        return await method(params)

    return handle


# -- Places: plainsql's are of lines from 1 and characters, the protocol's of lines from 0 and UTF-16


def _path(uri: str) -> Path | None:
    path = to_fs_path(uri) if uri.startswith("file:") else None
    return Path(path).resolve() if path else None


def _line(text: str, number: int) -> str:
    lines = text.split("\n")
    return lines[number].removesuffix("\r") if number < len(lines) else ""


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _column(text: str, position: types.Position) -> int:
    """Return the characters before a position in its line."""
    line, units = _line(text, position.line), 0
    for count, character in enumerate(line):
        if units >= position.character:
            return count
        units += _units(character)
    return len(line)


def _offset(text: str, position: types.Position) -> int:
    before = text.split("\n")[: position.line]
    return min(sum(len(line) + 1 for line in before) + _column(text, position), len(text))


def _position(text: str, line: int, column: int) -> types.Position:
    return types.Position(line - 1, _units(_line(text, line - 1)[: column - 1]))


def _range(text: str, start: int, end: int) -> types.Range:
    def position(offset: int) -> types.Position:
        begin = text.rfind("\n", 0, offset) + 1
        return types.Position(text.count("\n", 0, offset), _units(text[begin:offset]))

    return types.Range(position(start), position(end))


def _location(place: Destination) -> types.Location:
    at = types.Position(place.line - 1, place.column - 1)
    return types.Location(from_fs_path(str(place.path)) or "", types.Range(at, at))


def _overlap(one: types.Range, other: types.Range) -> bool:
    def key(position: types.Position) -> tuple[int, int]:
        return position.line, position.character

    return key(one.start) <= key(other.end) and key(other.start) <= key(one.end)


def _diagnostic(problem: Problem) -> types.Diagnostic:
    line, column, excerpt = max(problem.line, 1), max(problem.column, 1), problem.excerpt
    end = column
    if excerpt and problem.column:
        word = _WORD.match(excerpt, column - 1)
        end = word.end() + 1 if word is not None else column + 1
    elif excerpt:
        end = len(excerpt) + 1
    message = [problem.message]
    message += [problem.detail.strip()] if problem.detail else []
    message += [f"hint: {problem.hint}"] if problem.hint else []
    href = types.CodeDescription(page_url(problem.name)) if problem.name in RULES else None
    return types.Diagnostic(
        types.Range(
            types.Position(line - 1, _units(excerpt[: column - 1]) if excerpt else column - 1),
            types.Position(line - 1, _units(excerpt[: end - 1]) if excerpt else end - 1),
        ),
        "\n".join(message),
        severity=types.DiagnosticSeverity.Error
        if problem.name in ERRORS
        else types.DiagnosticSeverity.Warning,
        code=problem.name,
        code_description=href,
        source="plainsql",
    )


def _offers_after_space(text: EditedText, offset: int) -> bool:
    """Report whether names are offered without a letter: after a key of the header, or after ``from``."""
    if text.header_line(offset) is not None:
        return True
    return text.typed(offset)[2] in ("from", "join", "into", "update")
