"""``python -m benchmarks.redis_failover --sentinel|--cluster``: exit 1 if a read was older than it may be."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict

from benchmarks.redis_failover.soak import Plan, soak


def main() -> int:
    """Run, and print the report."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_failover", description=__doc__)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--sentinel", action="store_true", help="a master, two replicas and three Sentinels")
    kind.add_argument("--cluster", action="store_true", help="three masters with a replica each")
    parser.add_argument("--seconds", type=float, default=default.seconds)
    parser.add_argument("--readers", type=int, default=default.readers, help="processes")
    parser.add_argument("--writers", type=int, default=default.writers, help="processes")
    parser.add_argument("--faults", type=float, default=default.faults, help="seconds between")
    parser.add_argument("--only", default="", help="one kind of fault")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument(
        "--break",
        dest="broken",
        choices=("term", "trust", "wait"),
        default="",
        help="a protocol with a hole, to try the check itself",
    )
    parser.add_argument("--json", action="store_true", help="only one line, of JSON")
    options = parser.parse_args()
    plan = Plan(
        kind="cluster" if options.cluster else "sentinel",
        seconds=options.seconds,
        readers=options.readers,
        writers=options.writers,
        faults=options.faults,
        only=options.only,
        seed=options.seed,
        broken=options.broken,
    )
    report = asyncio.run(soak(plan))
    result = {"kind": plan.kind, "broken": plan.broken, **asdict(report)}
    if not options.json:
        for name, value in result.items():
            print(f"{name:>16}  {value}")
    print(json.dumps(result))
    return 1 if report.violations or report.audit_violations else 0


if __name__ == "__main__":
    sys.exit(main())
