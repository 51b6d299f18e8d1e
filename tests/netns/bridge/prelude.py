# SPDX-License-Identifier: Apache-2.0
"""Makes tests/lib importable: `from prelude import wbtest`."""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

import ledger  # noqa: E402,F401
import wbtest  # noqa: E402,F401
