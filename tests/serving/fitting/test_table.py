"""The table that the fit runs on gives what a replica gives, row by row."""

import msgspec
import numpy as np
import pytest

from farthing.serving.coefficients import packaged
from farthing.serving.figures import Figures, figures
from farthing.serving.fitting.rows import Row
from farthing.serving.fitting.table import predict, table_of
from farthing.serving.replica import Replica
from tests.serving.fitting.made import SAMPLE, grid, measured, row

FIT = packaged()


def by_replica(one: Row) -> tuple[float, float]:
    asked = one.concurrency / one.deployment.replicas
    batch = min(asked, max(one.deployment.max_batch(one.input + one.output / 2), 1))
    return Replica(one.deployment).point(one.input, one.output, asked, batch)[:2]


def test_columns_are_rows() -> None:
    rows = grid()
    tpot, ttft = predict(table_of(rows, FIT), FIT, FIT.values())
    expected = [by_replica(one) for one in rows]
    # months are rounded to hundredths in the table, so that few settings remain
    assert tpot == pytest.approx(np.array([one[0] for one in expected]), rel=2e-4)
    assert ttft == pytest.approx(np.array([one[1] for one in expected]), rel=2e-4)


@pytest.mark.skipif(not SAMPLE.exists(), reason="../shared/serving/silicon_sample.csv is not there")
def test_measured_rows_too() -> None:
    rows = [one for one in measured() if not one.lockstep and not one.drafted][::7]
    assert len(rows) > 100
    tpot, ttft = predict(table_of(rows, FIT), FIT, FIT.values())
    for at, one in enumerate(rows):
        assert (tpot[at], ttft[at]) == pytest.approx(by_replica(one), rel=2e-4), one


def test_what_a_table_holds() -> None:
    rows = [row(16), row(900, 8_000, 1_000), row(4, replicas=2)]
    table = table_of(rows, FIT)
    for name in Figures.__struct_fields__:
        assert getattr(table.figures, name) == pytest.approx([getattr(figures(one.deployment), name) for one in rows])
    room = rows[1].deployment.max_batch(8_500)
    assert room < 900
    assert list(table.batch) == [16, room, 2]  # memory bounds the batch; replicas share the requests
    assert list(table.asked) == [16, 900, 2]
    part = table.take(np.array([2, 0]))
    assert list(part.asked) == [2, 16]
    assert predict(part, FIT, FIT.values())[0] == pytest.approx(predict(table, FIT, FIT.values())[0][[2, 0]])


def test_tags_age_and_drafts_are_of_the_row() -> None:
    base = row(model="openai/gpt-oss-120b", weights="fp4", tp=2)
    drafted = msgspec.structs.replace(base, drafted=True)
    lockstep = msgspec.structs.replace(base, lockstep=True)
    old = msgspec.structs.replace(base, deployment=msgspec.structs.replace(base.deployment, engine_date=FIT.reference))
    table = table_of([base, drafted, lockstep, old], FIT)
    tpot, ttft = predict(table, FIT, FIT.values())
    assert tpot[1] < tpot[0]
    assert tpot[2] != tpot[0] and ttft[2] != ttft[0]
    assert tpot[3] > tpot[0]  # an older engine was slower
