"""No cache of the engine grows without a bound."""

import importlib
import inspect
import pkgutil

import chalicelib


def test_every_cache_of_a_function_has_a_bound() -> None:
    names = [found.name for found in pkgutil.walk_packages(chalicelib.__path__, "chalicelib.")]
    bounds = {
        f"{name}.{attribute}": cached.cache_parameters()["maxsize"]
        for name in names
        for attribute, cached in vars(importlib.import_module(name)).items()
        # Without arguments there is one entry.
        if hasattr(cached, "cache_parameters") and inspect.signature(cached).parameters
    }
    assert bounds
    assert {name: bound for name, bound in bounds.items() if bound is None} == {}
