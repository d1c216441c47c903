"""``plainsql layers``: the layers that come with plainsql, and copies of them that belong to a project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from plainsql.cli.exit_codes import FINE
from plainsql.cli.new_files import NewFiles
from plainsql.cli.tables import print_table
from plainsql.errors import Place, SettingsError
from plainsql.layer_folders import packaged_layers
from plainsql.layers.copied_layer import CopiedLayer, copied_layer, layer_settings
from plainsql.settings import Project

__all__ = ["app"]

_FLAG = Parameter(negative=(), show_default=False)
_SHOWN = 5

app = App(name="layers", help="List the layers that come with plainsql, and copy one into the project.")


@app.command(name="list")
def list_() -> int:
    """List the layers that come with plainsql, with the settings that a copy can have.

    Exits with 0.
    """
    print_table(
        ("layer", "queries", "settings"),
        [
            (
                name,
                str(sum(not path.parent.name.startswith("_") for path in layer.sql.rglob("*.sql"))),
                ", ".join(f"{each.name}={each.default}" for each in layer_settings(name)),
            )
            for name, layer in sorted(packaged_layers().items())
        ],
    )
    return FINE


@app.command
def copy(
    layer: str,
    /,
    *,
    set: Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)] = (),
    dry_run: Annotated[bool, _FLAG] = False,
) -> int:
    """Copy the migrations and queries of a layer into the project, which may change them from then on.

    It overwrites no file: all files are written, or none.

    Exits with 0 if the files are written, 2 if they are not.

    Parameters
    ----------
    layer
        The layer: ``realty``; ``plainsql layers list`` has all.
    set
        A setting of the copy: ``--set dimension=1024 --set language=english``. The others have their default.
    dry_run
        Write nothing, and list the files.
    """
    project = Project.load()
    if not project.owns_schema:
        raise SettingsError(
            f"the schema is not plainsql's: {project.schema_origin} in [tool.plainsql] makes it; "
            "nothing was written",
            hint="copy into a project whose migrations are plainsql's",
        )
    copied = copied_layer(layer, _settings(set))
    folders = {"migrations": Path(project.migrations) / layer, "sql": Path(project.sql) / layer}
    texts = {folders["migrations"] / path: text for path, text in copied.migrations.items()}
    texts |= {folders["sql"] / path: text for path, text in copied.sql.items()}
    _refuse_existing(project, texts)
    if dry_run:
        for path in texts:
            print(path.as_posix())
        return FINE
    writer = NewFiles(project.root)
    with writer.undone_on_error():
        for path, text in texts.items():
            writer.write(path.as_posix(), text)
    _print(project, copied, folders)
    return FINE


def _settings(words: tuple[str, ...]) -> dict[str, str]:
    """Return the settings by name. Raises ``SettingsError`` if one is no ``name=value``, or is set twice."""
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise SettingsError(
                f"--set: expected name=value, got {word[:40]!r}", hint="for example: --set dimension=1024"
            )
        if name in given:
            raise SettingsError(f"--set {name}: expected one value, got two", hint="set it once")
        given[name] = value
    return given


def _refuse_existing(project: Project, texts: dict[Path, str]) -> None:
    existing = [path.as_posix() for path in texts if os.path.lexists(project.root / path)]
    if existing:
        more = f" and {len(existing) - _SHOWN} more" if len(existing) > _SHOWN else ""
        raise SettingsError(
            f"{'these exist' if len(existing) > 1 else 'this exists'} already: "
            f"{', '.join(existing[:_SHOWN])}{more}",
            place=Place(str(project.root)),
            hint="they are yours, and stay: delete them first to copy again; nothing was written",
        )


def _print(project: Project, copied: CopiedLayer, folders: dict[str, Path]) -> None:
    for kind, files in (("migrations", copied.migrations), ("sql", copied.sql)):
        print(f"wrote {folders[kind].as_posix()}: {len(files)} files")
    for name, value in copied.settings.items():
        print(f"set {name}={value}")
    own, package = f"{project.import_name}.{copied.layer}", f"plainsql.layers.{copied.layer}"
    print(
        f"\nThe files are yours now: change them as you like, an upgrade of plainsql leaves them alone.\n"
        f"Import {own}; {package} keeps the queries of the package.\n"
        f"\nNext:\n  plainsql generate\n  plainsql migrate --layer {copied.layer}"
    )
