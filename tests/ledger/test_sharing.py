"""Several processes on one ledger: what one opens and closes must not take the log away from under another."""

import subprocess
import sys
from pathlib import Path

from farthing.ledger.ledger import Ledger, attempt_id
from farthing.ledger.row import Attempt
from farthing.ledger.schema import connect

_OTHER = (
    "import sys; from pathlib import Path; from farthing.ledger.schema import connect; "
    "connect(Path(sys.argv[1])).close()"
)


def test_rows_survive_another_process_that_opens_and_closes_the_ledger(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        second = connect(tmp_path, create=True)  # a worker has several: its bank's, its keys'
        attempts = [attempt_id() for _ in range(5)]
        for attempt in attempts:
            subprocess.run([sys.executable, "-c", _OTHER, str(tmp_path)], check=True)
            ledger.write([Attempt(attempt=attempt, request="r", state="done", started_us=1, ended_us=2, usd="0")])
            assert ledger.flush(timeout_s=10)
        found = connect(tmp_path, read_only=True)
        assert found.execute("SELECT count(*) FROM attempt").fetchone() == (5,)
        found.close()
        second.close()
