"""The ledger's rows for other tools: Parquet, CSV or JSON lines, written whole; or FOCUS columns, summed by the day.

Amounts are exact: decimals where they end, the fraction beside them where they do not.
"""

import os
from datetime import datetime
from pathlib import Path

from farthing.ledger.amounts import FEMTO, PLACES
from farthing.ledger.hot import COLUMNS
from farthing.ledger.schema import DAY_US
from farthing.ledger.view import View, open_view
from farthing.problems import FarthingError
from farthing.time import microseconds
from farthing.units import METERS

FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_OPTIONS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json"}
_ISO = "%Y-%m-%dT%H:%M:%S.%fZ"


def format_of(out: Path, stated: str | None) -> str:
    """The format that is stated, or that the name of the file tells. Raises `FarthingError` naming the choices."""
    found = stated.lower() if stated else FORMATS.get(out.suffix.lower())
    if found not in _OPTIONS:
        raise FarthingError(f"{stated or out}: the format is not told; --format is one of {', '.join(_OPTIONS)}")
    return found


def export(
    folder: Path, out: Path, format: str | None = None, since: datetime | None = None, until: datetime | None = None,
    *, focus: bool = False,
) -> int:  # fmt: skip
    """Write the attempts that started in [since, until) to `out`; how many rows were written.

    `focus`: instead of rows, the charges by UTC day, offer, feature and key under FOCUS column names; attempts
    without a known charge are left out of the sums and counted in `x_UnknownAttempts`. Raises `FarthingError` for
    an unknown format, where there is no ledger, or the file cannot be written.
    """
    import duckdb

    kind = format_of(out, format)
    low, high = (None if moment is None else microseconds(moment) for moment in (since, until))
    beside = out.with_name(f".{out.name}.{os.getpid()}.new")
    with open_view(folder, low, high) as view:
        sql = _focus_sql(view) if focus else _rows_sql(view, kind)
        try:
            [(rows,)] = view.query(f"COPY ({sql}) TO '{str(beside).replace(chr(39), chr(39) * 2)}' ({_OPTIONS[kind]})")
            beside.replace(out)
        except duckdb.Error as error:
            raise FarthingError(f"{out}: cannot be written: {str(error).splitlines()[0]}") from None
        except OSError as error:
            raise FarthingError(f"{out}: cannot be written: {error.strerror or error}") from None
        finally:
            beside.unlink(missing_ok=True)
    return int(rows)


def _rows_sql(view: View, kind: str) -> str:
    if kind == "parquet":
        return 'SELECT * EXCLUDE (model) FROM attempts ORDER BY "at", id'
    chosen = []
    for name in (*COLUMNS, *view.meters):
        if name in ("at", "completed", "first_byte"):
            chosen.append(f"""strftime(make_timestamp(epoch_us("{name}")), '{_ISO}') AS "{name}\"""")
        elif name in ("usd", "reported_usd") or (name in METERS and METERS[name].scale != 1):
            chosen.append(f'{_plain(name)} AS "{name}"')
        else:
            chosen.append(f'"{name}"')
    return f'SELECT {", ".join(chosen)} FROM attempts ORDER BY attempts."at", id'


def _plain(name: str) -> str:
    """SQL for an exact decimal as text without the zeros at its end: JSON's readers would make a float of a number."""
    return f"regexp_replace(CAST(\"{name}\" AS VARCHAR), '\\.?0+$', '')"


def _focus_sql(view: View) -> str:
    """Charges by day, offer, feature and key. A sum with a fraction that does not end is given to 15 decimals."""
    day = f'epoch_us("at") // {DAY_US}'
    tokens = [name for name in view.meters if name in METERS and METERS[name].unit == "token" and name != "reasoning"]
    quantity = " + ".join(f'coalesce(sum("{name}"), 0)' for name in tokens) or "0"
    top, bottom = (f"CAST(split_part(usd_exact, '/', {part}) AS HUGEINT)" for part in (1, 2))
    femto = f"sum(({top} * {FEMTO} + {bottom} // 2) // {bottom})"
    unit = f"CAST('0.{'0' * (PLACES - 1)}1' AS DECIMAL({PLACES}, {PLACES}))"
    cost = f"(coalesce(sum(usd), 0) + coalesce(CAST({femto} AS DECIMAL(23, 0)) * {unit}, 0))"
    cost = f"regexp_replace(CAST({cost} AS VARCHAR), '\\.?0+$', '')"
    stamp = "strftime(make_timestamp(({}) * {}), '%Y-%m-%dT%H:%M:%SZ')"
    return (
        f"SELECT {cost} AS BilledCost, {cost} AS EffectiveCost, {cost} AS ListCost, 'USD' AS BillingCurrency, "
        f"'Usage' AS ChargeCategory, {stamp.format(day, DAY_US)} AS ChargePeriodStart, "
        f"{stamp.format(day + ' + 1', DAY_US)} AS ChargePeriodEnd, {quantity} AS ConsumedQuantity, "
        f"'Tokens' AS ConsumedUnit, provider AS ServiceProviderName, 'AI and Machine Learning' AS ServiceCategory, "
        f"model AS SkuId, region AS RegionId, feature AS x_Feature, key AS x_Key, "
        f"count(*) AS x_Attempts, count(*) FILTER (usd IS NULL AND usd_exact IS NULL) AS x_UnknownAttempts "
        f"FROM attempts WHERE state <> 'open' GROUP BY {day}, provider, model, region, "
        f"feature, key ORDER BY {day}, provider, SkuId, x_Feature, x_Key"
    )
