"""What is counted of calls, and how it is told."""

import time

import pytest

from reference.mesh.calls import Call
from reference.mesh.exposition import call_metrics, other_metrics
from reference.mesh.metering import BUCKETS, CallMetrics, parsed, status
from reference.mesh.telemetry.measures import Gauge, Measures

LOST = "NOT_FOUND"


def _call(
    method: str = "/a.B/C", *, seconds: float = 0.0, code: str = "OK", exists: bool = True
) -> Call:
    call = Call(method, "id", started=time.monotonic_ns())
    call.ended = call.started + round(seconds * 1e9)
    call.code, call.exists = code, exists
    return call


def _ended(*calls: Call) -> CallMetrics:
    metrics = CallMetrics()
    metrics.began(calls)
    metrics.done(calls)
    return metrics


def test_calls_are_counted_by_how_they_ended() -> None:
    metrics = _ended(_call(), _call(), _call(code=LOST), _call("/a.B/D"))

    counts = {labels: series.total for labels, series in metrics.ended()}
    assert counts == {
        ("a.B", "C", "success"): 2,
        ("a.B", "C", "NOT_FOUND"): 1,
        ("a.B", "D", "success"): 1,
    }


def test_what_does_not_exist_shares_one_name() -> None:
    calls = [_call(f"/made.up/{number}", exists=False, code=LOST) for number in range(9)]

    metrics = _ended(*calls)

    assert [labels for labels, _ in metrics.ended()] == [("unknown", "unknown", "NOT_FOUND")]
    assert list(metrics.in_flight()) == [(("unknown", "unknown"), 0)]


def test_what_is_in_flight_is_known() -> None:
    metrics = CallMetrics()
    first, second = _call(), _call()

    metrics.began([first, second])
    assert list(metrics.in_flight()) == [(("a.B", "C"), 2)]
    metrics.done([first])
    assert list(metrics.in_flight()) == [(("a.B", "C"), 1)]
    metrics.done([second])
    assert list(metrics.in_flight()) == [(("a.B", "C"), 0)]


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.3, 6), (0.6, 7), (9.0, 10), (60, 11)])
def test_a_call_is_in_its_bucket_and_all_above(seconds: float, bucket: int) -> None:
    ((_, series),) = _ended(_call(seconds=seconds)).ended()

    assert series.cumulative() == [0] * bucket + [1] * (len(BUCKETS) + 1 - bucket)
    assert series.nanoseconds == seconds * 1e9


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/a.B/C", ("a.B", "C")),
        ("/a/b/C", ("a/b", "C")),
        ("unknown", ("unknown", "unknown")),
        ("/", ("unknown", "unknown")),
    ],
)
def test_a_path_is_service_and_method(path: str, names: tuple[str, str]) -> None:
    assert parsed(path) == names


def test_only_success_has_a_word_of_its_own() -> None:
    assert [status(code) for code in ("OK", LOST)] == ["success", "NOT_FOUND"]


def test_a_scraper_is_told_all_of_it() -> None:
    total, duration, in_flight = call_metrics(_ended(_call(seconds=0.3)))

    (counted,) = total.samples
    assert (counted.name, counted.value) == ("blackhole_rpc_total", 1)
    assert counted.labels == {"service": "a.B", "method": "C", "status": "success"}
    by_bound = {one.labels["le"]: one.value for one in duration.samples if "le" in one.labels}
    assert by_bound["0.25"] == 0
    assert by_bound["0.5"] == by_bound["+Inf"] == 1
    (seconds,) = [one.value for one in duration.samples if one.name.endswith("_sum")]
    assert seconds == 0.3
    assert [one.value for one in in_flight.samples] == [0]


def test_other_measures_are_told_too() -> None:
    measures = Measures()
    measures.counter("things_total", "Things").add(3)
    assert measures.counter("things_total", "Things").total == 3
    measures.gauge(Gauge("state", "State", ("target",), lambda: [(("a",), 2.0)]))

    things, state = other_metrics(measures)

    assert [(one.name, one.value) for one in things.samples] == [("things_total", 3)]
    assert [(one.labels, one.value) for one in state.samples] == [({"target": "a"}, 2.0)]
    assert repr(measures.counter("things_total", "")) == "Counter('things_total', total=3)"
