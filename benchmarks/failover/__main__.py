"""``python -m benchmarks.failover``: exit 1 if a promise was broken, 2 if a program is not installed."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from dataclasses import asdict

from benchmarks.failover.cluster import ProgramMissingError
from benchmarks.failover.run import SCENARIOS, Plan, run


def main() -> int:
    """Run, and say what came of it."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], help="by default all, in turn")
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--tasks", type=int, default=default.tasks, help="asynchronous writers")
    parser.add_argument("--threads", type=int, default=default.threads, help="synchronous writers")
    parser.add_argument("--readers", type=int, default=default.readers, help="readers from replicas")
    parser.add_argument(
        "--asynchronous", action="store_true", help="replicas that lag, to try the checks: writes are lost"
    )
    parser.add_argument("--json", action="store_true", help="only one line, of JSON")
    options = parser.parse_args()
    plan = Plan(
        options.scenarios,
        options.rounds,
        options.tasks,
        options.threads,
        options.readers,
        synchronous=not options.asynchronous,
    )
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it reports each lost connection
    try:
        report = asyncio.run(run(plan, (lambda _: None) if options.json else print))
    except ProgramMissingError as error:
        print(f"failover: {error}", file=sys.stderr)
        return 2
    result = {"violations": report.verdict.violations, "late": report.late, **asdict(report)}
    print(json.dumps(result))
    return 1 if report.verdict.violations or report.late or report.reading.missed else 0


if __name__ == "__main__":
    sys.exit(main())
