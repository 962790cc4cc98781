"""Run every benchmark, or those named: `python -m benchmarks pricing offers`."""

import sys

from benchmarks import ledger, metering, offers, parquet, pricing, readers, routing, serving, simulator, start

BENCHMARKS = {
    "start": start.main,
    "pricing": pricing.main,
    "offers": offers.main,
    "parquet": parquet.main,
    "readers": readers.main,
    "serving": serving.main,
    "simulator": simulator.main,
    "metering": metering.main,
    "ledger": ledger.main,
    "routing": routing.main,
}


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise SystemExit(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"== {name}: {sys.modules[BENCHMARKS[name].__module__].__doc__.splitlines()[0]}", flush=True)
        BENCHMARKS[name]()
        print(flush=True)


main()
