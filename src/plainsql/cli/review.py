"""``plainsql review``: the project's queries, tables and migrations as pages for a reader."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import plainsql
from plainsql.cli.exit_codes import FINE
from plainsql.cli.number_range import NumberRange
from plainsql.cli.project import load_project
from plainsql.cli.review_changes import changes_text, print_changes
from plainsql.errors import SettingsError
from plainsql.review.model.project_review import read_review
from plainsql.review.site.page_renderer import site_files
from plainsql.review.site.site_folder import write_site
from plainsql.review.site.site_server import serve_site

__all__ = ["review"]

_FLAG = Parameter(negative=(), show_default=False)
_PORT = NumberRange("an integer", 0, 65535, "8777")


def review(
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    serve: Annotated[bool, _FLAG] = False,
    port: Annotated[int, Parameter(validator=_PORT)] = 8777,
    since: str | None = None,
    format: Literal["markdown", "json"] | None = None,
    scratch: str | None = None,
    no_cache: Annotated[bool, _FLAG] = False,
    no_plans: Annotated[bool, _FLAG] = False,
) -> int:
    """Write a site for review: a page for each query, table and migration, with one search box.

    The pages need no server and no network. They have the facts of check and describe with their reasons,
    who calls a query, its last commit, and the columns and indexes that no query uses.

    Exits with 0, or 2 if it could not run. Findings are on the pages: plainsql check reports them.

    Parameters
    ----------
    output
        The folder to write; pages of a former run are replaced, other files are never touched.
    serve
        Serve the site on 127.0.0.1 until Ctrl-C.
    port
        The port to serve it on; 0 for a free one.
    since
        Also compare with a branch, a tag or a commit of git: queries that are new, gone or changed.
        REF... is the commit at which the current branch left REF.
    format
        Print the changes since that ref: markdown for a comment on a pull request, json for tools. Without
        --output or --serve no site is made.
    scratch
        URL of a server to build the scratch database on; by default the one named for it, else the embedded
        server.
    no_cache
        Ignore the results of earlier runs: build the scratch database again, analyse and plan every query.
    no_plans
        Leave out the plans at production's size.
    """
    if format is not None and since is None:
        raise SettingsError(
            f"--format {format}: expected --since with it, got none", hint="name a git ref: --since main"
        )
    if output is None and not serve and format is None:
        raise SettingsError(
            "review: expected a folder to write, got nothing", hint="for example: plainsql review -o site/"
        )
    began = time.perf_counter()
    project = load_project()
    if output is None and not serve and format is not None and since is not None:
        print_changes(project, since, format, scratch)
        return FINE
    content = read_review(
        project,
        scratch,
        no_cache=no_cache,
        plans=not no_plans,
        since=since,
        version=plainsql.__version__,
    )
    report = sys.stdout
    if format is not None and content.changes is not None:
        sys.stdout.write(changes_text(content.changes, format))
        report = sys.stderr
    files = dict(site_files(content))
    if output is not None:
        write_site(output, files.items())
        size = sum(map(len, files.values())) / 1e6
        took = time.perf_counter() - began
        queries, pages = len(content.queries), sum(path.endswith(".html") for path in files)
        print(f"{queries} queries on {pages} pages, {size:.1f} MB, {took:.1f} s", file=report)
        print(f"open {os.path.relpath(output / 'index.html')}", file=report)
    if serve:
        try:
            serve_site(
                files, port, started=lambda url: print(f"{url}  (Ctrl-C ends it)", file=report, flush=True)
            )
        except KeyboardInterrupt:
            print()
    return FINE
