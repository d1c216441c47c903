"""``python -m benchmarks.fault_soak --seconds N --json``: exit 1 if a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict

from benchmarks.fault_soak.broken import BROKEN
from benchmarks.fault_soak.soak import Plan, soak


def main() -> int:
    """Run, and say what came of it."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fault_soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=default.seconds)
    parser.add_argument("--callers", type=int, default=default.callers, help="tasks, over all pools")
    parser.add_argument("--faults", type=float, default=default.faults, help="seconds between; 0: none")
    parser.add_argument("--no-promotion", action="store_true", help="the primary stays the primary")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument(
        "--broken",
        choices=sorted(BROKEN),
        default="",
        help="a pool with a fault, to try the checks",
    )
    parser.add_argument("--json", action="store_true", help="only one line, of JSON")
    options = parser.parse_args()
    plan = Plan(
        seconds=options.seconds,
        callers=options.callers,
        faults=options.faults,
        promote=not options.no_promotion,
        seed=options.seed,
        broken=options.broken,
    )
    report = asyncio.run(soak(plan))
    result = {"violations": report.violations, "answered": report.answered, **asdict(report)}
    if not options.json:
        for name, value in result.items():
            print(f"{name:>20}  {value}")
    print(json.dumps(result))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
