"""The parts that are compiled; all else about the package is in pyproject.toml.

Each module `*.pyx` (its types for Python are in a `*.pyi` beside it), and each module `*.py` that has a `*.pxd` beside
it: that is Python like any other, whose classes get fields of fixed places.
"""

import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup


def extensions(sources: Iterable[Path]) -> list[Extension]:
    return [
        Extension(".".join(source.with_suffix("").parts[1:]), [str(source)], extra_compile_args=["-O2", "-g0"])
        for source in sorted(sources)
    ]


if not Path(sysconfig.get_path("include"), "Python.h").exists():
    sys.exit("Python's own headers are needed to compile parts of Farthing: on Debian `apt install python3-dev`")

native = set(Path("src").rglob("*.pyx"))
typed = {source for found in Path("src").rglob("*.pxd") if (source := found.with_suffix(".py")).exists()}
kept = "build/cython"

setup(
    ext_modules=[
        *cythonize(extensions(native), build_dir=kept, language_level=3),
        # What annotations say is mypy's to check: as C types they would refuse what Python takes.
        *cythonize(
            extensions(typed), build_dir=kept, language_level=3, compiler_directives={"annotation_typing": False}
        ),
    ]
)
