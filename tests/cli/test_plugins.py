"""Commands and demos of installed packages, found through their entry points."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest

import plainsql.cli
from tests.cli.conftest import NOTES, Command, Done, Write
from tests.docs.markdown import blocks_of

TEMPLATES = Path(plainsql.cli.__file__).parent / "templates"
# The example of the page, as a package.
EXAMPLE = {block.file: block.code for block in blocks_of("docs/commands.md") if block.file}
ENTRY_POINTS = tomllib.loads(
    next(block.code for block in blocks_of("docs/commands.md") if block.language == "toml")
)["project"]["entry-points"]

BROKEN = "import sys\n\nimport the_module_that_is_not_there\n"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of this name, as pip lays it out, where the processes of the test find it."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(site))

    def lay_out(name: str, files: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]) -> None:
        for file, text in files.items():
            path = site / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = []
        for group, objects in entry_points.items():
            lines += [f"[{group}]", *(f"{key} = {value}" for key, value in objects.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")

    return lay_out


@pytest.fixture
def shop_package(install: Install, tmp_path: Path) -> None:
    """The package of the page's example."""
    install("shop", EXAMPLE, ENTRY_POINTS)
    for folder in ("sql", "migrations"):
        shutil.copytree(TEMPLATES / folder, tmp_path / "site-packages" / "shop" / folder)


def panel(done: Done, title: str) -> str:
    """The lines of a panel of the help, without its frame."""
    text = done.out.partition(f"╭─ {title} ")[2].partition("╰")[0]
    return "\n".join(line.strip("│ ") for line in text.splitlines()[1:])


@pytest.mark.usefixtures("shop_package")
def test_the_command_of_a_package_runs_on_the_configured_database(
    process: Command, configured: str, write: Write
) -> None:
    write({})
    with psycopg.connect(configured) as connection:
        connection.execute("create table notes (created_at timestamptz)")
        connection.execute("insert into notes values (now()), (now() - interval '8 days')")
    done = process("notes", "purge", "--days", "7")
    assert (done.code, done.out, done.err) == (0, "deleted 1 notes\n", "")


@pytest.mark.usefixtures("shop_package")
def test_the_help_lists_layers_and_packages_under_their_own_headings(process: Command) -> None:
    done = process("--help")
    assert (done.code, done.err) == (0, "")
    core = panel(done, "Commands")
    assert "check" in core
    assert "marketplace" not in core
    assert "notes" not in core.split()
    assert panel(done, "Layers").startswith("marketplace  Maintain")
    assert panel(done, "shop") == "notes  Look after the notes of the shop."
    assert "Usage: plainsql notes COMMAND" in process("notes", "--help").out


def test_the_group_of_an_app_is_its_heading_but_never_one_of_plainsql(
    process: Command, install: Install
) -> None:
    app = "from cyclopts import App, Group\napp = App(name='{0}', help='Do {0}.', group={1})\n"
    modules = {
        "one.py": app.format("one", "'Shop things'"),
        "two.py": app.format("two", "Group('Shop things')"),
        "three.py": app.format("three", "Group('Commands')"),
    }
    names = ("one", "two", "three")
    install("shop-tools", modules, {"plainsql.commands": {name: f"{name}:app" for name in names}})
    done = process("--help")
    assert (done.code, done.err) == (0, "")
    assert panel(done, "Shop things") == "one  Do one.\ntwo  Do two."
    assert panel(done, "shop-tools") == "three  Do three."


def test_a_function_is_a_command_and_its_result_the_exit_code(process: Command, install: Install) -> None:
    module = 'def count(*words: str) -> int:\n    """Count words."""\n    return len(words)\n'
    install("counter", {"counter.py": module}, {"plainsql.commands": {"count": "counter:count"}})
    assert process("count", "a", "b", "c").code == 3
    assert panel(process("--help"), "counter") == "count  Count words."


def test_a_broken_plugin_is_one_line_and_breaks_nothing_else(
    process: Command, install: Install, write: Write
) -> None:
    commands = {
        "bad": "broken_plugin:app",
        "leaves": "leaving:app",
        "nothing": "empty:app",
        "number": "number:app",
        "check": "broken_plugin:app",
    }
    modules = {
        "broken_plugin.py": BROKEN,
        "leaving.py": "raise SystemExit(7)",
        "empty.py": "",
        "number.py": "app = 5",
    }
    install("broken-tools", modules, {"plainsql.commands": commands})
    hint = "HINT: update or remove the package: pip install --upgrade broken-tools\n"
    begin = "the command '{}' of the package broken-tools "
    refused = {
        "bad": "cannot be imported: ModuleNotFoundError: No module named 'the_module_that_is_not_there'",
        "leaves": "cannot be imported: SystemExit: 7",
        "nothing": "cannot be imported: AttributeError: module 'empty' has no attribute 'app'",
        "number": "is neither a cyclopts App nor a function, but int",
    }
    expected = {name: f"{begin.format(name)}{text}\n{hint}" for name, text in refused.items()}
    for name, text in expected.items():
        assert process(name) == Done(2, "", text)
    done = process("--help")
    assert (done.code, done.err) == (0, "".join(expected.values()))
    assert "marketplace" in panel(done, "Layers")
    write(NOTES)
    assert process("generate").code == 0
    assert process("check").out.startswith("clean: 1 query"), "the command of plainsql wins"


def test_a_plugin_is_imported_only_if_it_is_used(process: Command, install: Install, write: Write) -> None:
    seen = write({}) / "imported"
    module = f"import pathlib\npathlib.Path({str(seen)!r}).touch()\ndef app() -> int:\n    return 0\n"
    install("slow-tools", {"slow.py": module}, {"plainsql.commands": {"lengthy": "slow:app"}})
    for arguments in (["--version"], ["migrate", "--help"], ["crypto", "new-key"], ["marketplace", "--help"]):
        assert process(*arguments).code == 0
        assert not seen.exists(), arguments
    assert process("lengthy").code == 0
    assert seen.exists()


def test_two_packages_with_one_command_are_both_named(process: Command, install: Install) -> None:
    for name in ("first-tools", "second-tools"):
        install(name, {"tool.py": "def app() -> None: ..."}, {"plainsql.commands": {"tool": "tool:app"}})
    text = (
        "first-tools and second-tools both have the command 'tool'\n"
        "HINT: remove one of the packages: pip uninstall first-tools\n"
    )
    assert process("tool") == Done(2, "", text)
    assert process("--help").err == text
    assert process("crypto", "new-key").err == ""


def test_an_unknown_command_is_refused_next_to_a_broken_plugin(process: Command, install: Install) -> None:
    install("broken-tools", {"broken_plugin.py": BROKEN}, {"plainsql.commands": {"bad": "broken_plugin:app"}})
    done = process("nonsense")
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert 'Unknown command "nonsense"' in done.out + done.err


@pytest.mark.usefixtures("shop_package")
def test_completion_knows_the_commands_of_packages(process: Command) -> None:
    done = process("completion", "bash")
    assert (done.code, done.err) == (0, "")
    assert "purge" in done.out


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("shop_package")
def test_the_demo_of_a_package_is_played(process: Command) -> None:
    done = process("demo", "shop")
    assert done.code == 0, done.out + done.err
    assert "1 migrations of shop" in done.out
    assert "Write a note" in done.out
    assert "demo: ok, 2 queries in 0.0 s" in done.out


def test_an_object_that_is_no_demo_is_refused(process: Command, install: Install) -> None:
    demos = {"bad": "broken_plugin:demo", "number": "number:demo"}
    modules = {"broken_plugin.py": BROKEN, "number.py": "demo = 5"}
    install("broken-tools", modules, {"plainsql.demos": demos})
    done = process("demo", "number")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "the demo 'number' of the package broken-tools is no plainsql.cli.demos.Demo, but int\n"
    )
    done = process("demo", "bad")
    assert done.err.startswith(
        "the demo 'bad' of the package broken-tools cannot be imported: ModuleNotFound"
    )
    done = process("demo", "nothing")
    assert done.err == (
        "there is no demo 'nothing'\n"
        "HINT: the demos are assistant, bad, marketplace, number, realty, whatsapp\n"
    )
