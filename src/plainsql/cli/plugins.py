"""Commands and demos of installed packages, found through their entry points.

An entry point of the group ``plainsql.commands`` names a cyclopts ``App`` or a function, which becomes the
command of the entry point's name. One of the group ``plainsql.demos`` names a ``plainsql.cli.demos.Demo``.
A plugin is imported when its command or demo is used, or when the help lists it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from plainsql.errors import PlainsqlError

__all__ = ["COMMANDS", "DEMOS", "Plugin", "PluginError", "find_plugin", "find_plugins"]

COMMANDS: Final = "plainsql.commands"
DEMOS: Final = "plainsql.demos"

_KINDS: Final = {COMMANDS: "command", DEMOS: "demo"}


class PluginError(PlainsqlError):
    """A plugin cannot be used; the commands of plainsql and of other plugins can."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A command or a demo of an installed package, not imported yet."""

    name: str
    package: str
    """The name of the distribution."""
    entry_point: EntryPoint

    @property
    def is_own(self) -> bool:
        """True if plainsql itself brings it, for one of its layers."""
        return self.package == "plainsql"

    def load(self) -> object:
        """Import the plugin and return the object that its entry point names.

        Raises ``PluginError`` if the import fails, whatever the reason.
        """
        try:
            return self.entry_point.load()
        except (Exception, SystemExit) as error:  # code of other packages: it may raise anything
            reason = " ".join(str(error).split())
            raise self.error(f"cannot be imported: {type(error).__name__}: {reason}") from error

    def error(self, problem: str) -> PluginError:
        """Return the error of this plugin, in one line and a hint."""
        kind = _KINDS[self.entry_point.group]
        return PluginError(
            f"the {kind} {self.name!r} of the package {self.package} {problem}",
            hint=f"update or remove the package: pip install --upgrade {self.package}",
        )


def find_plugins(group: str) -> list[Plugin]:
    """Return the plugins of a group, sorted by name and package."""
    found: dict[tuple[str, str], Plugin] = {}
    for entry_point in entry_points(group=group):
        package = entry_point.dist.name if entry_point.dist else "unknown"
        # A distribution that is twice on sys.path counts once: the first one is imported.
        found.setdefault((entry_point.name, package), Plugin(entry_point.name, package, entry_point))
    return [found[key] for key in sorted(found)]


def find_plugin(group: str, name: str) -> Plugin | None:
    """Return the plugin of a name, None if no package has one.

    A plugin of plainsql wins over one of another package. Raises ``PluginError`` if two other packages have
    one of this name.
    """
    found = [plugin for plugin in find_plugins(group) if plugin.name == name]
    own = next((plugin for plugin in found if plugin.is_own), None)
    if own is not None or not found:
        return own
    if len(found) > 1:
        packages = " and ".join(plugin.package for plugin in found)
        raise PluginError(
            f"{packages} both have the {_KINDS[group]} {name!r}",
            hint=f"remove one of the packages: pip uninstall {found[0].package}",
        )
    return found[0]
