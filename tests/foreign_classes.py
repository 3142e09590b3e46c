"""Classes under the names of packages that need not be installed, so that files can be written that ask for them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest


@contextmanager
def foreign(*names: str, base: type = object) -> Iterator[list[type]]:
    """Classes of these qualified names, which can be pickled inside."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            module, _, own = name.rpartition(".")
            parts = module.split(".")
            for i in range(1, len(parts) + 1):
                package = ".".join(parts[:i])
                if package not in sys.modules:
                    patch.setitem(sys.modules, package, ModuleType(package))
            made.append(type(own, (base,), {"__module__": module, "__qualname__": own}))
            patch.setattr(sys.modules[module], own, made[-1], raising=False)
        yield made
