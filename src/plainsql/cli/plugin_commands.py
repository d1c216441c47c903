"""The commands of plugins, added to ``plainsql`` when they are used or listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cyclopts import App, Group

from plainsql.cli.plugins import COMMANDS, Plugin, PluginError, find_plugin, find_plugins

__all__ = ["add_plugin", "add_plugins"]

_LAYERS: Final = "Layers"
_RESERVED: Final = ("Arguments", "Commands", "Parameters", _LAYERS)
"""Names of groups that are plainsql's own: a plugin's commands are not listed among them."""

# cyclopts refuses two groups of one name, so each is made once.
_groups: dict[str, Group] = {}


def add_plugin(app: App, name: str) -> None:
    """Add the plugin command of this name; do nothing if no package has one.

    Raises ``PluginError`` if it cannot be imported, or is no command.
    """
    if name not in app and (plugin := find_plugin(COMMANDS, name)) is not None:
        _add(app, plugin)


def add_plugins(app: App) -> list[PluginError]:
    """Add every plugin command that can be used; return the errors of the rest."""
    errors = []
    for name in dict.fromkeys(plugin.name for plugin in find_plugins(COMMANDS)):
        try:
            add_plugin(app, name)
        except PluginError as error:
            errors.append(error)
    return errors


def _add(app: App, plugin: Plugin) -> None:
    command = plugin.load()
    if isinstance(command, App):
        command.group = _group(plugin, command)
        app.command(command, name=plugin.name)
    elif callable(command):
        function: Callable[..., Any] = command
        app.command(function, name=plugin.name, group=_group(plugin, None))
    else:
        raise plugin.error(f"is neither a cyclopts App nor a function, but {type(command).__name__}")


def _group(plugin: Plugin, command: App | None) -> Group:
    """Return the heading that ``plainsql --help`` lists the command under."""
    if plugin.is_own:
        return _made(_LAYERS, 1)
    chosen = next(iter(command.group or ()), None) if command is not None else None  # type: ignore[arg-type]
    name = chosen.name if isinstance(chosen, Group) else chosen
    return _made(name if isinstance(name, str) and name not in _RESERVED else plugin.package, 2)


def _made(name: str, order: int) -> Group:
    return _groups.setdefault(name, Group(name, sort_key=order))
