"""Values at the ends of every type, as the server reads them."""

from __future__ import annotations

_LONG = f"""["{"é" * 5_000}", {list(range(500))}]"""

ODD_VALUES: dict[str, tuple[str, ...]] = {
    "bool": ("t", "f"),
    "int2": ("0", "1", "-1", "256", "32767", "-32768"),
    "int4": ("0", "-1", "257", "2147483647", "-2147483648"),
    "int8": ("0", "-1", "256", "4294967296", "9223372036854775807", "-9223372036854775808"),
    "oid": ("0", "4294967295"),
    "xid": ("0", "4294967295"),
    "xid8": ("0", "18446744073709551615"),
    "pg_lsn": ("0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"),
    "tid": ("(0,0)", "(4294967295,65535)"),
    "float4": ("0", "-0", "0.1", "1e-45", "3.4028235e38", "NaN", "Infinity", "-Infinity"),
    "float8": ("0", "-0", "0.1", "5e-324", "1.7976931348623157e308", "NaN", "Infinity", "-Infinity"),
    "numeric": (
        *("0", "0.0", "0.0000000000", "1", "-1", "10", "9999", "10000", "-10000.0001", "123.45", "1e20"),
        *("1.000", "0.1", "0.00001", "-0.00010", "1e-20", "123456789012345678901234567890.123456789"),
        *("1e400", "1e-400", "NaN", "9" * 300, "0." + "0" * 90 + "123", "12e30", "120000", "1e8"),
    ),
    "text": ("", "a", "é", "ASCII of some length " * 9, "ein längerer Text", "€uro", "😀" * 20, "\x01\x7f"),
    "varchar": ("", "x", "ü"),
    "bpchar": ("a ", "ab"),
    "name": ("", "a name", "ñ"),
    '"char"': ("x", ""),
    "bytea": (r"\x", r"\x00", r"\x00ff5c"),
    "date": ("2000-01-01", "0001-01-01", "9999-12-31", "2024-02-29", "1900-02-28", "infinity", "-infinity"),
    "time": ("00:00:00", "23:59:59.999999", "01:02:03.000004"),
    "timetz": ("00:00:00+00", "23:59:59.999999-15:59", "01:02:03+05:30"),
    "timestamp": (
        *("2000-01-01", "1999-12-31 23:59:59.999999", "0001-01-01", "9999-12-31 23:59:59.999999"),
        *("1970-01-01", "2024-02-29 12:00", "2100-02-28 23:59:59.000001", "infinity", "-infinity"),
    ),
    "timestamptz": (
        *("2000-01-01+00", "1999-12-31 23:59:59.999999+00", "0001-01-01+00", "2024-02-29 12:00+05:30"),
        *("9999-12-31 23:59:59.999999+00", "1600-03-01+00", "infinity", "-infinity"),
    ),
    "interval": (
        *("0", "1 us", "-1 us", "1 day -1 us", "-1 day 1 us", "1 mon", "-1 mon", "13 mons", "-13 mons"),
        *("1 year -1 mon 3 days -04:05:06.000007", "2700000 years", "-2700000 years", "23:59:59.999999"),
    ),
    "uuid": ("00000000-0000-0000-0000-000000000000", "0190c6a3-0f7e-7cc3-98c4-dc0c0c07398f"),
    "json": (_LONG, "null", "1", '"a"', "[]", "{}", ' { "a" : [1, null, 1.5, "ü\\u00e9😀"] } ', "true"),
    "jsonb": (_LONG, "null", "1", '"a"', "[]", "{}", '{"a": [1, null, 1.5, "ü\\u00e9😀"]}'),
    "jsonpath": ('$."a"',),
    "inet": ("10.1.2.3", "10.1.2.3/16", "::1", "2001:db8::/32"),
    "cidr": ("10.1.0.0/16", "2001:db8::/32"),
    "macaddr": ("08:00:2b:01:02:03",),
    "macaddr8": ("08:00:2b:01:02:03:04:05",),
    "money": ("1.50",),
    "bit": ("1", "0"),
    "varbit": ("", "1", "10101", "1" * 65),
    "point": ("(1,2)", "(NaN,-0)"),
    "line": ("{1,2,3}",),
    "lseg": ("[(1,2),(3,4)]",),
    "box": ("(3,4),(1,2)",),
    "path": ("[(1,2),(3,4)]", "((1,2),(3,4))"),
    "polygon": ("((1,2),(3,4))",),
    "circle": ("<(1,2),3>",),
    # asyncpg makes a broken list of an array of tsvector with an empty one.
    "tsvector": ("'a':1 'b':2A",),
    "tsquery": ("'a' & !'b'",),
    "regclass": ("pg_type",),
    "regtype": ("integer",),
    "pg_snapshot": ("10:20:10,14", "1:1:"),
    "int2vector": ("1 2", ""),
    "int4range": ("empty", "[1,2)", "(,)", "[1,)", "(,5]"),
    "numrange": ("[1.50,2.00]", "(,1]", "empty"),
    "tstzrange": ("[2000-01-01+00,infinity]", "empty", "(,2024-02-29+00)"),
    "daterange": ("[2024-02-29,)",),
    "text_span": ("[a,b)", "empty"),
    "int4multirange": ("{}", "{[1,2),[5,)}"),
    "mood": ("sad", "ok", 'so "happy", really', "glücklich"),
    "positive": ("1", "2147483647"),
    "tags": ("{}", "{a,NULL,ü}", "{{a,b},{c,d}}"),
    "citext": ("", "Top", "Ü"),
    "ltree": ("Top.Science", ""),
    "hstore": ("", '"a"=>"1","b"=>NULL', '"ü"=>"é"'),
    "vector": ("[1]", "[1.5,-0,3e-38]", "[" + ",".join(["0.25"] * 300) + "]"),
    "halfvec": ("[1]", "[1.5,-0,65504]"),
    "sparsevec": ("{1:1.5}/5", "{}/3", "{2:0.1,7:-3}/16000"),
}
"""By type: texts of values. An array, a composite and a nested row are made of each."""

UNREADABLE: dict[str, tuple[str, ...]] = {
    "date": ("0001-12-31 BC", "10000-01-01", "5874897-12-31", "4713-01-01 BC"),
    "time": ("24:00:00",),
    "timestamp": ("0001-12-31 BC", "10000-01-01", "294276-12-31"),
    "timestamptz": ("0001-12-31 BC", "10000-01-01+00", "294276-12-31"),
    "interval": ("2800000 years", "-2800000 years"),
    "json": ("1e400", '{"a": -1e999}'),
}
"""By type: texts of values that Python does not have."""


def type_of(name: str) -> str:
    """Return a type with what its values need: a length, for example."""
    return {"bpchar": "bpchar(2)", "bit": "bit(1)"}.get(name, name)


def composite_of(name: str) -> str:
    """Return the name of the composite type of a value and an array of values."""
    return f"both_{name}".replace('"', "")
