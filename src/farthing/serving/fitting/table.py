"""Rows as a table of arrays: figures, loads and times, on which the model's formulas run all at once."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from farthing.serving.coefficients import Chosen, Fit, choose, months_of, tags_of
from farthing.serving.figures import Figures, figures
from farthing.serving.fitting.rows import Row
from farthing.serving.physics import Terms, decode_s, first_token_s, prompt_s, terms, token_s

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Setting(msgspec.Struct, frozen=True):
    """What coefficients are chosen by."""

    tags: tuple[str, ...]
    months: float
    drafted: bool


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in columns. `setting_of`: for each row, which of `settings` its coefficients are chosen by."""

    figures: Figures
    settings: tuple[Setting, ...]
    setting_of: Ints
    input: Floats
    output: Floats
    asked: Floats
    batch: Floats
    tpot_s: Floats
    ttft_s: Floats

    def take(self, at: Ints) -> "Table":
        """The rows at the positions `at`."""
        columns = {name: getattr(self.figures, name)[at] for name in Figures.__struct_fields__}
        return Table(
            figures=Figures(**columns), settings=self.settings, setting_of=self.setting_of[at], input=self.input[at],
            output=self.output[at], asked=self.asked[at], batch=self.batch[at], tpot_s=self.tpot_s[at],
            ttft_s=self.ttft_s[at],
        )  # fmt: skip


def table_of(rows: Sequence[Row], fit: Fit) -> Table:
    """The table of `rows`. Memory bounds the batch: sequences of the prompt and half the answer."""
    every = [figures(row.deployment) for row in rows]
    settings: dict[Setting, int] = {}
    setting_of = []
    for row in rows:
        one = row.deployment
        setting = Setting(tags_of(one, fit, lockstep=row.lockstep), round(months_of(one, fit), 2), row.drafted)
        setting_of.append(settings.setdefault(setting, len(settings)))
    asked = np.array([row.concurrency / row.deployment.replicas for row in rows])
    room = np.array([max(row.deployment.max_batch(row.input + row.output / 2), 1) for row in rows], float)
    return Table(
        figures=Figures(
            **{name: np.array([getattr(one, name) for one in every], float) for name in Figures.__struct_fields__}
        ),
        settings=tuple(settings),
        setting_of=np.array(setting_of, np.int64),
        input=np.array([row.input for row in rows]),
        output=np.array([row.output for row in rows]),
        asked=asked,
        batch=np.minimum(asked, room),
        tpot_s=np.array([row.tpot_s for row in rows]),
        ttft_s=np.array([row.ttft_s for row in rows]),
    )


def chosen_columns(table: Table, fit: Fit, values: dict[str, float]) -> Chosen:
    """The coefficients of every row, as arrays."""
    each = [choose(fit, values, one.tags, months=one.months, drafted=one.drafted) for one in table.settings]
    columns = {
        name: np.array([getattr(one, name) for one in each])[table.setting_of] for name in Chosen.__struct_fields__
    }
    return Chosen(**columns)  # type: ignore[arg-type]  # one array a field, as `terms` takes them


def terms_columns(table: Table, fit: Fit, values: dict[str, float]) -> Terms:
    """The terms of every row, as arrays."""
    return terms(table.figures, chosen_columns(table, fit, values), np.maximum, np.minimum)


def predict(
    table: Table, fit: Fit, values: dict[str, float], change: Callable[[Terms], Terms] | None = None
) -> tuple[Floats, Floats]:
    """TPOT and TTFT of every row in seconds, by the formulas alone (no corrections). `change` takes a term away."""
    t = terms_columns(table, fit, values)
    t = change(t) if change else t
    step = decode_s(t, table.batch, table.batch, table.batch * (table.input + table.output / 2), np.maximum, np.minimum)
    prompt = prompt_s(t, table.input, 0.0, np.minimum)
    tpot = token_s(t, step, prompt, table.batch, table.output, np.maximum)
    ttft = first_token_s(t, prompt, tpot, table.asked, table.batch, table.output, np.maximum)
    return tpot, ttft
