"""Seeds of the chaos tests, from the option `--seeds`."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chaos_seed" in metafunc.fixturenames:
        first, dash, last = str(metafunc.config.getoption("--seeds")).partition("-")
        metafunc.parametrize("chaos_seed", range(int(first), int(last) + 1) if dash else range(int(first)))
