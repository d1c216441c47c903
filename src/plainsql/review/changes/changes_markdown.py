"""The changes of a project as Markdown for a comment on a pull request.

Every text from a file, a name or a server is in a code span or a fenced block. There, neither Markdown nor
HTML nor ``@mentions`` have a meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from plainsql.errors import printable
from plainsql.review.changes.change_sheets import ChangedFile, Changes, QueryChange, Severity

__all__ = ["MAX_BYTES", "changes_markdown", "code_span"]

MAX_BYTES: Final = 60_000
"""The greatest length of the text in UTF-8. GitHub refuses a comment of more than 65,536 characters."""
_MAX_CHARS: Final = 300
"""The greatest length of one name or reason."""
_MAX_DIFFERENCES: Final = 12
"""The greatest number of differences that are listed for one query."""
_MAX_DIFF_LINES: Final = 60
"""The greatest number of lines of one file's diff."""
_LAST_LINE_BYTES: Final = 100
"""The room for the line that counts what is left out."""
_MARK: Final = "<!-- plainsql review -->"
"""The first line, by which a later run finds the comment that it replaces."""
_TITLES: Final[dict[Severity, str]] = {"breaks": "Callers may break", "watch": "To review", "note": "Notes"}


class _Piece(NamedTuple):
    """A part of the text that is kept whole, or left out."""

    text: str
    is_title: bool = False


def changes_markdown(changes: Changes, *, max_bytes: int = MAX_BYTES) -> str:
    """Return the changes as Markdown, the worst first, in at most ``max_bytes`` bytes of UTF-8.

    Diffs are last. What does not fit is left out from the end, and the last line counts it. The same changes
    give the same bytes.
    """
    pieces = [
        *_head(changes),
        *_queries(changes.queries),
        *_listed("Findings of the schema and the settings", _findings(changes)),
        *_listed("Migrations", map(_file, changes.migrations)),
        *_listed("Plans", map(_file, changes.plans)),
        *_diffs(changes),
    ]
    room = max_bytes - _LAST_LINE_BYTES
    kept: list[_Piece] = []
    for piece in pieces:
        room -= len(piece.text.encode())
        if room < 0:
            break
        kept.append(piece)
    left = sum(not piece.is_title for piece in pieces[len(kept) :])
    while kept and kept[-1].is_title:
        kept.pop()
    text = "".join(piece.text for piece in kept)
    return (
        f"{text}\n_Left out, as the comment is full: {_counted(left, 'entry', 'entries')}._\n"
        if left
        else text
    )


def code_span(text: str) -> str:
    """Return a text as a code span of Markdown, on one line and not longer than 300 characters."""
    shown = " ".join(printable(text).split())
    if len(shown) > _MAX_CHARS:
        shown = shown[:_MAX_CHARS] + "…"
    if not shown:
        return "(empty)"
    fence = _fence(shown, 1)
    space = " " if "`" in (shown[0], shown[-1]) else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _fence(text: str, least: int) -> str:
    """Return more backticks than any run of them in a text has."""
    return "`" * max(least, max(map(len, re.findall("`+", text)), default=0) + 1)


def _head(changes: Changes) -> Iterator[_Piece]:
    since = f"{code_span(changes.ref)} ({code_span(changes.commit[:10])}, {changes.date})"
    yield _Piece(f"{_MARK}\n## Queries since {since}\n\n")
    if changes.is_empty:
        yield _Piece(f"Nothing changed. {_counted(changes.unchanged, 'query', 'queries')} compared.\n")
    else:
        by_severity = {
            severity: sum(change.severity == severity for change in changes.queries) for severity in _TITLES
        }
        yield _Piece(
            f"Callers of **{by_severity['breaks']}** may break, **{by_severity['watch']}** to review, "
            f"{by_severity['note']} with notes; {changes.unchanged} unchanged.\n"
        )
    if changes.notes:
        yield _Piece("\nCompared in part:\n\n" + "".join(f"- {code_span(each)}\n" for each in changes.notes))


def _queries(queries: Sequence[QueryChange]) -> Iterator[_Piece]:
    for severity, title in _TITLES.items():
        found = [change for change in queries if change.severity == severity]
        listed = [change for change in found if change.differences[0].kind != "header"]
        entries = list(map(_query, listed))
        if len(listed) < len(found):
            entries.append(f"- only the header or the comment changed: {len(found) - len(listed)}\n")
        yield from _listed(title, entries)


def _listed(title: str, entries: Iterable[str]) -> Iterator[_Piece]:
    listed = [_Piece(entry) for entry in entries]
    if listed:
        yield _Piece(f"\n### {title}\n\n", is_title=True)
        yield from listed


def _query(change: QueryChange) -> str:
    by_schema = ", text unchanged" if change.by_schema else ""
    first = f"- **{code_span(change.name)}** ({code_span(change.path)}{by_schema})"
    sentences = [difference.sentence(code_span) for difference in change.differences]
    if len(sentences) == 1:
        return f"{first}: {sentences[0]}\n"
    shown = sentences[:_MAX_DIFFERENCES]
    if len(sentences) > len(shown):
        shown.append(f"and {len(sentences) - len(shown)} more")
    return f"{first}\n" + "".join(f"  - {sentence}\n" for sentence in shown)


def _findings(changes: Changes) -> Iterator[str]:
    yield from (f"- new: {code_span(each)}\n" for each in changes.findings_new)
    yield from (f"- gone: {code_span(each)}\n" for each in changes.findings_gone)


def _file(file: ChangedFile) -> str:
    return f"- {file.kind}: {code_span(file.path)}\n"


def _diffs(changes: Changes) -> Iterator[_Piece]:
    """Yield the diffs that a reviewer needs: of queries that are no mere notes, of changed files."""
    found = [
        (change.path, change.diff) for change in changes.queries if change.diff and change.severity != "note"
    ]
    found += [
        (file.path, file.diff) for file in (*changes.plans, *changes.migrations) if file.kind == "changed"
    ]
    if found:
        yield _Piece("\n### Diffs\n", is_title=True)
    for path, lines in found:
        shown = [printable(line) for line in lines[:_MAX_DIFF_LINES]]
        if len(lines) > len(shown):
            shown.append(f"… and {len(lines) - len(shown)} lines more")
        text = "\n".join(shown)
        fence = _fence(text, 3)
        yield _Piece(
            f"\n<details><summary>{_html_code(path)}</summary>\n\n{fence}diff\n{text}\n{fence}\n\n</details>\n"
        )


def _html_code(text: str) -> str:
    """Return a text for the summary of a block, in which Markdown does not work."""
    shown = " ".join(printable(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<code>{shown}</code>"


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"
