"""Where compiled kernels are kept: a folder named after the sources they came from.

numba looks at the time stamp of the file a function stands in, not of the files it calls into: without the name a change in
`grid.py` would go on running the old machine code. The base folder is `NUMBA_CACHE_DIR` (settings: under the data folder), or
`__pycache__` beside this file when nothing says so.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import config as numba_config

import risk.domain.exits
import risk.domain.sizing

HERE = Path(__file__).parent
config: Any = numba_config  # its values are set from the environment, so no checker knows them


@cache  # the folder is named once a process, whichever kernel is declared first
def settle() -> Path:
    """Point numba at the folder of these sources. Call before a kernel is declared; harmless to call again."""
    folder = Path(config.CACHE_DIR or HERE / "__pycache__") / f"engine-{_digest()}"
    config.CACHE_DIR = str(folder)
    return folder


def _digest() -> str:
    # Compiled code and the numbers it was compiled with; the rest of the package may change without compiling anew.
    ours = [HERE / f"{name}.py" for name in ("breakers", "exits", "grid", "kernel", "layout", "portfolio_kernel", "sizing")]
    sources = [*ours, HERE.parent / "indicator_kernels.py", Path(risk.domain.exits.__file__), Path(risk.domain.sizing.__file__)]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
