"""The suite in a directory whose settings of pytest are made for other tests."""

import pytest

from conformance.plugin import names_the_suite
from fixtures.installed import SETTINGS

from .conftest import Judge

SOURCE = """
import asyncio

@pytest.fixture(scope="session")
async def made():
    return asyncio.get_running_loop()

@pytest.fixture
async def used(made):
    assert made is asyncio.get_running_loop()

async def test_one_1_case(used, made):
    '''ONE-1: It holds.'''
    assert made is asyncio.get_running_loop()
"""


@pytest.mark.parametrize("settings", ["[pytest]\n", SETTINGS])
@pytest.mark.parametrize("processes", ["0", "1"])
def test_settings_of_others_do_not_bear_on_it(
    judge_suite: Judge, settings: str, processes: str
) -> None:
    judged = judge_suite(
        SOURCE, {"ONE-1": ("MUST", "service")}, settings=settings, processes=("-n", processes)
    )

    assert judged.verdicts == {"ONE-1": "PASS"}, judged.output
    assert judged.report["verdict"] == "conformant"


@pytest.mark.parametrize(
    "word", ["conformance", "conformance.test_idl", "conformance.test_idl::test_idl_1_x[a.b]"]
)
def test_the_suite_is_known_by_its_name(word: str) -> None:
    assert names_the_suite(word)


@pytest.mark.parametrize("word", ["conformance/", "conformances", "./conformance", "--impl=x"])
def test_nothing_else_is_taken_for_it(word: str) -> None:
    assert not names_the_suite(word)
