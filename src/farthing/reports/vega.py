"""What every chart shares: the libraries that draw it, ink that follows the page, a picture of it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from farthing.problems import FarthingError

SCALE = 2  # pixels of a picture for each of the chart's
# Texts and lines take the page's own colour: light, dark and print need no second drawing.
INK = dict.fromkeys(("labelColor", "titleColor", "tickColor", "domainColor", "gridColor"), "currentColor")


@cache
def runtime() -> str:
    """The JavaScript of Vega, Vega-Lite and Vega-Embed: it sets `window.vegaEmbed`, and needs nothing else."""
    import altair as alt
    import vl_convert

    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    bundle: str = vl_convert.javascript_bundle(snippet="window.vegaEmbed = vegaEmbed;", vl_version=version)
    return bundle.replace("</script", "<\\/script")


def png(specification: Mapping[str, Any]) -> bytes:
    """The chart as a picture."""
    import vl_convert

    picture: bytes = vl_convert.vegalite_to_png(dict(specification), scale=SCALE)
    return picture


def write_png(specification: Mapping[str, Any], out: Path) -> None:
    """Write the chart as a picture. Raises `FarthingError` where `out` cannot be written."""
    try:
        out.write_bytes(png(specification))
    except OSError as error:
        raise FarthingError(f"{out}: cannot be written: {error.strerror or error}") from None
