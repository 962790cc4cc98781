"""Tests of the gateway's configuration."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from farthing.gateway.config import Config, load
from farthing.problems import FarthingError

TODAY = date(2026, 11, 22)
KEYS = {"OPENAI_API_KEY": "sk-openai-secret", "ANTHROPIC_API_KEY": "sk-ant-secret"}


def read(folder: Path, text: str, environ: Mapping[str, str] = KEYS, *, need_keys: bool = True) -> Config:
    """The configuration in `text`, written to farthing.toml in `folder`."""
    file = folder / "farthing.toml"
    file.write_text(text)
    return load(file, environ, today=TODAY, need_keys=need_keys)


def refusal(folder: Path, text: str, environ: Mapping[str, str] = KEYS) -> str:
    """What is said of a bad configuration: one line; its place is shown relative to `folder`."""
    with pytest.raises(FarthingError) as caught:
        read(folder, text, environ)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(f"{folder}/", "")
