"""``python -m benchmarks.cache_soak --seconds N --json``: exit 1 where a read was older than it may be."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict

from benchmarks.cache_soak.broken import STORES
from benchmarks.cache_soak.soak import Plan, soak


def main() -> int:
    """Run, and say what came of it."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache_soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=default.seconds)
    parser.add_argument("--readers", type=int, default=default.readers, help="processes")
    parser.add_argument("--writers", type=int, default=default.writers, help="processes")
    parser.add_argument("--faults", type=float, default=default.faults, help="seconds between; 0: none")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument(
        "--broken", choices=sorted(STORES), default="", help="a protocol with a hole, to try the check itself"
    )
    parser.add_argument("--json", action="store_true", help="only one line, of JSON")
    options = parser.parse_args()
    plan = Plan(
        seconds=options.seconds,
        readers=options.readers,
        writers=options.writers,
        faults=options.faults,
        seed=options.seed,
        broken=options.broken,
    )
    report = asyncio.run(soak(plan))
    result = {"operations": report.operations, **asdict(report)}
    if not options.json:
        for name, value in result.items():
            print(f"{name:>16}  {value}")
    print(json.dumps(result))
    return 1 if report.violations or report.audit_violations else 0


if __name__ == "__main__":
    sys.exit(main())
