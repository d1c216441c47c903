"""A project that is checked again and again: its scratch database, its catalog and its analyses are kept.

A check reads every file, and analyses those whose text has changed. A changed schema makes a new scratch
database, on which everything is analysed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

from plainsql.analysis import Analyser
from plainsql.analysis.assumptions import Assumptions
from plainsql.analysis.catalog.definitions import Definitions
from plainsql.analysis.scratch_database import scratch_database
from plainsql.check.allowed import AllowedFindings
from plainsql.check.analysed_statements import AnalysedStatements, analyse_one, analysed_statements
from plainsql.check.analysis_cache import AnalysisCache
from plainsql.check.assumed_columns import unneeded_columns
from plainsql.check.declared_types import own_types_of
from plainsql.check.digest_columns import digest_columns
from plainsql.check.fragment_copies import read_copies
from plainsql.check.generated_modules import GeneratedModules, generate_modules
from plainsql.check.problems import Problem, problem_of, problems_of_files
from plainsql.check.project_check import ProjectCheck, judge, truncated_tables
from plainsql.check.schema_findings import schema_problems
from plainsql.codegen import Checked
from plainsql.codegen import verify as verify_sources
from plainsql.codegen.own_types import OwnTypes
from plainsql.errors import ConnectError, PlainsqlError, SqlFileError
from plainsql.schema import SchemaSource, schema_source
from plainsql.settings import Project
from plainsql.statements import LoadedFile, Statement, load_sound

__all__ = ["LiveProject"]

_NO_TEXTS: Final[Mapping[Path, str]] = MappingProxyType({})


class LiveProject:
    """A project of one database, checked by one thread; its folder is the working folder in each call."""

    def __init__(
        self,
        project: Project,
        scratch: str | None = None,
        *,
        large: Callable[[Project], Mapping[str, float]] = lambda project: {},
    ) -> None:
        """Take the settings; ``scratch`` is the URL of a server, as for ``check_project``.

        ``large`` returns the rows of the tables of which production has many; the first check calls it.
        """
        self.project = project
        self._scratch = scratch
        self._read_large = large
        self._large: Mapping[str, float] | None = None
        self._files: dict[Path, LoadedFile] = {}
        self._found: dict[str, tuple[Statement, Checked | PlainsqlError]] = {}
        self._modules = _LiveModules()
        self._session: _Session | None = None
        self._failure: tuple[str, PlainsqlError] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the scratch database; the next check opens it again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def schema_digest(self) -> str:
        """Return the digest of the schema's source as it is now; empty if it cannot be read."""
        try:
            return schema_source(self.project).digest()
        except (PlainsqlError, OSError):
            return ""

    @property
    def connection(self) -> Any:
        """The connection to the scratch database; None if the last check had none."""
        return self._session.connection if self._session is not None else None

    def check(self, texts: Mapping[Path, str] = _NO_TEXTS, *, module: str | None = None) -> ProjectCheck:
        """Return the check of the project, as ``check_project`` does.

        ``texts`` are the texts of files that an editor has not saved, by their resolved paths. With a
        ``module`` such as ``realty.leads``, only the files of that folder are checked, which is faster. If
        the schema cannot be applied, or no server can be reached, that error is among the others.

        Raises ``SettingsError`` if ``allow`` has a value of another kind, or if the statistics of production
        cannot be read.
        """
        allowed = AllowedFindings(self.project)
        if self._large is None:
            self._large = self._read_large(self.project)
        try:
            catalog, unsound = load_sound(self.project.sql_folder, known=self._files, texts=texts)
        except SqlFileError as error:
            return _unanalysed(problems_of_files(error))
        chosen = tuple(each for each in catalog.values() if module in (None, each.module))
        errors = [problem for error in unsound for problem in problems_of_files(error)]
        errors += read_copies(self.project.sql_folder, texts).problems()
        try:
            session, inspection = self._analyse(chosen)
            of_schema = session.findings(inspection, self._large) if module is None else []
        except PlainsqlError as error:
            return _unanalysed([*errors, problem_of(error, "refused")], chosen)
        if module is None:
            self._found = {name: found for name, found in self._found.items() if name in catalog}
        return judge(
            self.project,
            allowed,
            chosen,
            errors,
            inspection,
            of_schema,
            caches=any(statement.cache is not None for statement in catalog.values()),
            everything=module is None,
            lint=self.project.check_schema,
            generate=self._modules.generate if module is None else generate_modules,
            large=self._large,
        )

    def _analyse(self, chosen: Sequence[Statement]) -> tuple[_Session, AnalysedStatements]:
        session = self._open()
        try:
            return session, self._analyse_on(session, chosen)
        except Exception:
            if not session.connection.closed:
                raise
        # The server has ended the session: it was restarted, or another check dropped the database.
        self.close()
        session = self._open()
        return session, self._analyse_on(session, chosen)

    def _analyse_on(self, session: _Session, chosen: Sequence[Statement]) -> AnalysedStatements:
        inspected: list[Checked | PlainsqlError] = []
        for statement in chosen:
            known, found = self._found.get(statement.name, (None, None))
            if found is None or known is not statement:
                found = session.analyse(statement)
                self._found[statement.name] = (statement, found)
            inspected.append(found)
        session.save()
        digests = digest_columns(session.connection, chosen)
        analysed = analysed_statements(inspected)
        return replace(analysed, own_types=session.own_types, digest_columns=digests)

    def _open(self) -> _Session:
        """Return the session on the schema of this moment.

        Raises ``PlainsqlError`` if the schema cannot be applied, or if no server can be reached.
        """
        source = schema_source(self.project)
        digest = source.digest()
        if self._session is not None and self._session.digest == digest and not self._session.is_lost:
            return self._session
        self.close()
        self._found = {}
        if self._failure is not None and self._failure[0] == digest:
            raise self._failure[1]
        try:
            self._session = _Session(self.project, self._scratch, source, digest)
        except ConnectError:
            raise  # the server may be back at the next check
        except PlainsqlError as error:
            self._failure = (digest, error)
            raise
        self._failure = None
        return self._session


class _Session:
    """A connection to the scratch database of one state of the schema, and what was read of it."""

    def __init__(self, project: Project, scratch: str | None, source: SchemaSource, digest: str) -> None:
        self.digest = digest
        self._project = project
        self._stack = ExitStack()
        try:
            assumptions = Assumptions(project.oldest_server, project.not_null)
            self.connection = self._stack.enter_context(scratch_database(source, scratch, project=project))
            self._cache = AnalysisCache(
                project.root / ".plainsql" / f"review{project.name and '-' + project.name}.msgpack",
                definitions=Definitions(self.connection),
                assumptions=assumptions,
            )
            self._analyser = Analyser(self.connection, assumptions)
            self._unneeded = list(unneeded_columns(self.connection, project))
            self.own_types = own_types_of(self.connection, project)
        except BaseException:
            self._stack.close()
            raise
        self._findings: tuple[frozenset[str], list[Problem]] | None = None
        self._saved = False

    @property
    def is_lost(self) -> bool:
        return bool(self.connection.closed)

    def analyse(self, statement: Statement) -> Checked | PlainsqlError:
        return analyse_one(self._analyser, self.connection, statement, self._cache)

    def save(self) -> None:
        """Write the cache of analyses after the first check; later texts may be unfinished."""
        if not self._saved:
            self._saved = True
            self._cache.save(keep_others=True)

    def findings(self, inspection: AnalysedStatements, large: Mapping[str, float]) -> list[Problem]:
        """Return the findings about the schema. ``large`` is the same in every call."""
        truncated = truncated_tables(inspection)
        if self._findings is None or self._findings[0] != truncated:
            found = schema_problems(
                self.connection,
                self._project.schema_path,
                owned=self._project.owns_schema,
                oldest_server=self._project.oldest_server,
                lint=self._project.check_schema,
                truncated=truncated,
                large=large,
            )
            self._findings = (truncated, [*found, *self._unneeded])
        return self._findings[1]

    def close(self) -> None:
        self._stack.close()


class _LiveModules:
    """The generated modules of the last check: a source that is the same is not verified again."""

    def __init__(self) -> None:
        self._verified: dict[Path, str] = {}

    def generate(
        self, checked: Sequence[Checked], project: Project, /, *, verify: bool, own_types: OwnTypes
    ) -> GeneratedModules:
        made = generate_modules(checked, project, verify=False, own_types=own_types)
        if not verify or made.errors:
            return made
        changed = {path: text for path, text in made.files.items() if self._verified.get(path) != text}
        errors = tuple(verify_sources(changed))
        if errors:
            return replace(made, errors=errors)
        self._verified = dict(made.files)
        return made


def _unanalysed(problems: Sequence[Problem], statements: tuple[Statement, ...] = ()) -> ProjectCheck:
    errors = tuple(sorted(problems, key=lambda problem: problem.order))
    return ProjectCheck(statements, AnalysedStatements((), ()), errors, (), {}, 0, False)
