"""A tenant's settings in a session."""

from __future__ import annotations

from typing import Any

from plainsql.tenancy import Tenant, quoted_setting

__all__ = ["set_session"]


async def set_session(
    connection: Any, former: Tenant | None, tenant: Tenant | None, *, timeout: float | None = None
) -> None:
    """Replace the settings of the former tenant by those of the next, in one round trip.

    Without a next tenant the settings get the values that the session began with.
    """
    if tenant is None:
        resets = "; ".join(f"reset {quoted_setting(name)}" for name, _ in former or ())
        await connection.execute(resets, timeout=timeout)
        return
    # A setting that only the former tenant has must go too.
    settings = {name: "" for name, _ in former or ()} | dict(tenant)
    calls = ", ".join(f"set_config(${2 * i + 1}, ${2 * i + 2}, false)" for i in range(len(settings)))
    values = [part for setting in settings.items() for part in setting]
    await connection.fetch(f"select {calls}", *values, timeout=timeout)
