"""The check of sequences: whether one is near the end of what its column can hold."""

from __future__ import annotations

from typing import Any, Final

from plainsql.health.results import Check
from plainsql.health.steps import Steps

__all__ = ["sequence_check"]

_MAX_USED: Final = 0.75
"""The part of its values that a sequence may have used: the rest is for the time that a change takes."""
_MAX_NAMED: Final = 5

# Without the right to read a sequence, its last value is null. The column of an identity or of serial has a
# type that may end before the sequence.
_SEQUENCES: Final = f"""
select used.*, format_type(a.atttypid, -1)
from (
  select
    format('%I.%I', s.schemaname, s.sequencename) as name,
    t.oid::regclass::text as owner,
    d.refobjid,
    d.refobjsubid,
    s.data_type::text as sequence_type,
    s.last_value,
    least(
      s.max_value,
      case b.atttypid when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647 end
    ) as last_possible
  from pg_sequences as s
  inner join pg_namespace as n on n.nspname = s.schemaname
  inner join pg_class as c on c.relnamespace = n.oid and c.relname = s.sequencename
  left join pg_depend as d
    on d.classid = 'pg_class'::regclass
    and d.objid = c.oid
    and d.refclassid = 'pg_class'::regclass
    and d.deptype in ('a', 'i')
  left join pg_class as t on t.oid = d.refobjid
  left join pg_attribute as b on b.attrelid = d.refobjid and b.attnum = d.refobjsubid
  where s.increment_by > 0 and not s.cycle and s.last_value is not null
) as used
left join pg_attribute as a on a.attrelid = used.refobjid and a.attnum = used.refobjsubid
where used.last_value >= {_MAX_USED} * used.last_possible
order by used.last_value / used.last_possible::float8 desc, used.name
"""


def sequence_check() -> Steps:
    """Yield the steps of the check, which has a result only if a sequence is near its end."""
    near = []
    for name, owner, _, column, kind, last, most, column_type in (yield _SEQUENCES):
        near.append(
            {
                "sequence": name,
                "table": owner,
                "column_number": column,
                "sequence_type": kind,
                "column_type": column_type,
                "last_value": last,
                "last_possible": most,
                "used": round(last / most, 4),
            }
        )
    if near:
        yield _result(near)


def _result(near: list[dict[str, Any]]) -> Check:
    named = [f"{each['sequence']} has used {each['used']:.0%} of its values" for each in near[:_MAX_NAMED]]
    if len(near) > _MAX_NAMED:
        named.append(f"{len(near) - _MAX_NAMED} more")
    first = near[0]
    if first["column_type"] in ("integer", "smallint"):
        hint = f"change the column of {first['table']} that it fills to bigint before inserts fail"
    else:
        hint = f"alter sequence {first['sequence']} as bigint maxvalue 9223372036854775807"
    return Check("sequences", "warning", ", ".join(named), hint, {"sequences": near})
