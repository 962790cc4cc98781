"""One server for all tests of this folder; a database of its own for each."""

from collections.abc import Iterator

import pytest

from tests.ledger.postgres.server import Server, missing


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; the test is skipped, saying why, where there can be none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'farthing[postgres]'")
    if why := missing():
        pytest.skip(why)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def url(server: Server) -> str:
    """The address of a new empty database."""
    return server.new_database()
