"""What requests to the events service may hold; each finding names its field."""

from collections.abc import Iterator

from google.protobuf.timestamp_pb2 import Timestamp

from blackhole.events.v1 import events_pb2 as pb

from ...mesh.errors import Violation
from ..words import refuse, word_violations

LONGEST_TYPE = 128
LONGEST_ID = 128
LONGEST_SOURCE = 256


def check_subscribe(request: pb.SubscribeRequest) -> None:
    """Refuse what is no type of an event (EVT-2).

    Raises:
        InvalidArgumentError: names `event_type`.
    """
    refuse(*word_violations("event_type", request.event_type, LONGEST_TYPE))


def check_event(event: pb.Event) -> None:
    """Refuse an event that cannot be published.

    Raises:
        InvalidArgumentError: names every field that is wrong.
    """
    refuse(*event_violations(event))


def event_violations(event: pb.Event) -> Iterator[Violation]:
    """Yield what is wrong with an event."""
    yield from word_violations("type", event.type, LONGEST_TYPE)
    for field, longest in (("id", LONGEST_ID), ("source", LONGEST_SOURCE)):
        if (length := len(getattr(event, field))) > longest:
            yield Violation(field, f"has {length} characters, {longest} at most")
    if event.HasField("timestamp") and not is_time(event.timestamp):
        yield Violation("timestamp", "must be a time from the year 1 to the year 9999")


def is_time(timestamp: Timestamp) -> bool:
    """Tell whether a timestamp holds what its type allows."""
    try:
        timestamp.ToJsonString()
    except ValueError:
        return False
    return True
