"""What pytest itself writes of a test, at the terminal and as JUnit, made printable."""

import pytest

from .printable import everywhere, printable


def clean(report: pytest.TestReport) -> None:
    """Make all texts of a test's report printable; what is printable already stays as it is."""
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, printable(reason))
    elif report.longrepr is not None:
        # A traceback knows how it is coloured, as long as nothing in it has to go.
        text = str(report.longrepr)
        if (shown := printable(text)) != text or isinstance(report.longrepr, str):
            report.longrepr = shown
    report.sections = [(printable(name), printable(text)) for name, text in report.sections]
    report.user_properties = [(name, everywhere(value)) for name, value in report.user_properties]
    if hasattr(report, "wasxfail"):
        report.wasxfail = printable(report.wasxfail)


def clean_name(report: pytest.TestReport) -> None:
    """Make the name printable under which a test is reported, which holds its parameters.

    That is for the process which reports: to pytest itself the name is the test.
    """
    report.nodeid = printable(report.nodeid)
