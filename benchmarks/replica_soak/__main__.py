"""``python -m benchmarks.replica_soak --seconds N``: exit 1 if a read was older than promised."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from benchmarks.replica_soak.failovers import FAILOVERS
from benchmarks.replica_soak.reactions import REACTIONS, measure
from benchmarks.replica_soak.replica_faults import FAULTS
from benchmarks.replica_soak.run_soak import BROKEN, Plan, soak


def main() -> int:
    """Run, and print the verdict."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replica_soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=default.seconds)
    parser.add_argument("--chains", type=int, default=default.chains, help="sessions at a time")
    parser.add_argument("--pause", type=float, default=default.pause, help="seconds between faults")
    parser.add_argument("--faults", nargs="*", choices=sorted(FAULTS), default=list(FAULTS))
    parser.add_argument(
        "--failovers",
        nargs="*",
        choices=sorted(FAILOVERS),
        help="faults of the primary as well: all, or those that are named",
    )
    parser.add_argument(
        "--asynchronous", action="store_true", help="commits do not wait for a replica: writes are lost"
    )
    parser.add_argument(
        "--pooler", action="store_true", help="PgBouncer in session mode in front of the replicas"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument(
        "--break", dest="broken", choices=sorted(BROKEN), default="", help="a fault that the checks must find"
    )
    parser.add_argument(
        "--reactions",
        nargs="*",
        choices=sorted(REACTIONS),
        help="measure the reactions to faults of a replica: exit 1 if one takes more than a second",
    )
    options = parser.parse_args()
    if options.reactions is not None:
        found = asyncio.run(measure(options.reactions or list(REACTIONS), print))
        return 1 if any(one.is_late for one in found) else 0
    failovers = () if options.failovers is None else options.failovers or FAILOVERS
    plan = Plan(
        seconds=options.seconds,
        chains=options.chains,
        pause=options.pause,
        faults=(*options.faults, *failovers),
        broken=options.broken,
        seed=options.seed,
        pooler=options.pooler,
        synchronous=not options.asynchronous,
    )
    report = asyncio.run(soak(plan))
    print(json.dumps(report.as_dict(), indent=2))
    return 1 if report.is_broken else 0


if __name__ == "__main__":
    sys.exit(main())
