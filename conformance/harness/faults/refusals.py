"""What the API refuses, as a status and one sentence."""


class Refusal(Exception):  # noqa: N818 - an answer, and not a failure of ours
    """A request that is not done.

    Args:
        status: of HTTP.
        message: says what is wrong, and with which value.
    """

    def __init__(self, status: int, message: str) -> None:
        """Hold both."""
        super().__init__(message)
        self.status = status
        self.message = message


def bad(message: str) -> Refusal:
    """Return the refusal of a body that says something impossible."""
    return Refusal(400, f"bad request body: {message}")
