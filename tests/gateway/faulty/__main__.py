"""`python -m tests.gateway.faulty --port 0 --log FILE`: the upstream as a process; prints its address as JSON."""

import argparse
import asyncio
import json
import signal
from pathlib import Path

from tests.gateway.faulty.log import Log
from tests.gateway.faulty.serve import Server


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    server = Server(Log(options.log))
    port = await server.start(options.port)
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()
    await server.stop()


asyncio.run(main())
