"""Fit the serving model on measured rows and write its data: `python tools/fit_serving.py DATA…`.

Writes data/serving/fit.toml (values of the coefficients; what we wrote ourselves is kept), corrections.toml and
validation.toml. With `--check` nothing is written, and the exit status says whether the files would change.
"""

import re
import sys
from pathlib import Path

import numpy as np

from farthing.serving.coefficients import packaged
from farthing.serving.fitting.corrections import Effects, fit_effects
from farthing.serving.fitting.fit import fit_values, group_weights
from farthing.serving.fitting.rows import rows_of
from farthing.serving.fitting.table import predict, table_of
from farthing.serving.fitting.validate import QUANTITIES, validate
from farthing.serving.measured.read import read_measurements
from farthing.serving.validation import Part, Validation

DATA = Path(__file__).parent.parent / "src" / "farthing" / "data" / "serving"
HEAD = "# Written by `python tools/fit_serving.py DATA`, from the source of fit.toml. Do not edit.\n"


def main(arguments: list[str]) -> int:
    """Fit, validate, write. 0, or 1 where `--check` finds a file that would change."""
    paths = [argument for argument in arguments if not argument.startswith("-")]
    measurements, problems = read_measurements(paths)
    fit = packaged()
    rows, left_out = rows_of(measurements, fit)
    print(f"{len(rows)} rows of {len(measurements)}; {problems.total} could not be read", file=sys.stderr)
    table, weights = table_of(rows, fit), group_weights(rows)
    values = fit_values(table, weights, fit)
    tpot, ttft = predict(table, fit, values)
    effects = [
        fit_effects(rows, np.log(table.tpot_s / tpot), "tpot"),
        fit_effects(rows, np.log(table.ttft_s / ttft), "ttft"),
    ]
    span = [row.concurrency for row in rows], [row.input / row.output for row in rows]
    texts = {
        "fit.toml": _with_values((DATA / "fit.toml").read_text("utf-8"), values),
        "corrections.toml": _corrections(effects, span),
        "validation.toml": _validation(validate(rows, left_out, fit, _progress)),
    }
    changed = [
        name for name, text in texts.items() if not (DATA / name).exists() or (DATA / name).read_text("utf-8") != text
    ]
    for name in changed:
        if "--check" in arguments:
            print(f"{name} would change", file=sys.stderr)
        else:
            (DATA / name).write_text(texts[name], "utf-8")
    return 1 if changed and "--check" in arguments else 0


def _progress(name: str, done: int, total: int) -> None:
    print(f"{done}/{total} held-out parts ({name})", file=sys.stderr)


def _with_values(text: str, values: dict[str, float]) -> str:
    def filled(found: re.Match[str]) -> str:
        return f"{found[1]}{values[found[2]]:.6g}\n"

    return re.sub(r'(name = "([^"]+)"\nvalue = )[^\n]+\n', filled, text)


def _corrections(effects: list[Effects], span: tuple[list[float], list[float]]) -> str:
    tpot, ttft = effects
    lines = [
        HEAD,
        "# Added to log TPOT and log TTFT: level, slope on concurrency, slope on input:output; the rows behind it.\n"
        "# span: least and most (concurrency, input:output) of a group's rows, within which it is held.\n",
    ]
    ends = [(float(f"{min(one):.6g}"), float(f"{max(one):.6g}")) for one in span]
    lines.append(
        f"[span] # concurrency, input:output\nlow = [{ends[0][0]}, {ends[1][0]}]\nhigh = [{ends[0][1]}, {ends[1][1]}]\n"
    )
    body = []
    for key in sorted(tpot.of):
        names = ", ".join(f'"{part}"' for part in key)
        numbers = [", ".join(f"{value:.4f}" for value in one.of[key]) for one in (tpot, ttft)]
        rest = f"rows = {tpot.rows[key]}"
        if key[0] == "group":
            low, high = ([float(f"{end:.6g}") for end in ends] for ends in tpot.spans[key])
            rest += f", span = [{low}, {high}]"
        body.append(f"  {{ of = [{names}], tpot = [{numbers[0]}], ttft = [{numbers[1]}], {rest} }},")
    top = "corrections = [\n" + "\n".join(body) + "\n]\n"
    return lines[0] + lines[1] + "\n" + top + "\n" + lines[2]


def _validation(report: Validation) -> str:
    out = [HEAD, f"rows = {report.rows}\n"]
    out += ["\n[left_out]\n"] + [f'"{reason}" = {count}\n' for reason, count in sorted(report.left_out.items())]
    for split in report.split:
        out.append(f'\n[[split]]\nname = "{split.name}"\nrows = {split.rows}\n')
        for what in QUANTITIES:
            one = split.of(what)
            out.append(
                f"{what} = {{ median = {one.median:.4f}, p90 = {one.p90:.4f}, coverage = {one.coverage:.4f}, "
                f"low = {one.low:.4f}, high = {one.high:.4f} }}\n"
            )
        out += [_part("split.part", part) for part in split.part]
    return "".join(out + [_part("group", part) for part in report.group])


def _part(header: str, part: Part) -> str:
    return (
        f'\n[[{header}]]\nname = "{part.name}"\nrows = {part.rows}\ntpot_median = {part.tpot_median:.4f}\n'
        f"ttft_median = {part.ttft_median:.4f}\nthroughput_median = {part.throughput_median:.4f}\n"
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
