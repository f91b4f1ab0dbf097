"""Seeds of the chaos tests, from the option `--seeds`, and a summary of the starts after damage."""

from typing import Any

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chaos_seed" in metafunc.fixturenames:
        first, dash, last = str(metafunc.config.getoption("--seeds")).partition("-")
        metafunc.parametrize("chaos_seed", range(int(first), int(last) + 1) if dash else range(int(first)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many starts the seeds needed, and how long a start took beyond an undisturbed one."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    starts = [[value for name, value in report.user_properties if name == "start"] for report in reports]
    needed = [len(one) for one in starts if one]
    if needed:
        beyond, took, alone = max((took - alone, took, alone) for one in starts for _, took, alone in one)
        terminalreporter.section("starts after damage")
        terminalreporter.line(f"{len(needed)} seeds: {needed.count(1)} with one start, {needed.count(2)} with two")
        terminalreporter.line(
            f"longest beyond an undisturbed run: {beyond:.0f} s ({took:.0f} s instead of {alone:.0f} s)"
        )
