"""What an order waits for and what to do next, in one sentence."""

from collections import Counter
from datetime import datetime, timedelta

import msgspec

from chalicelib.domain.event import iso
from chalicelib.domain.lifecycle import Status
from chalicelib.domain.retry import MAX_ATTEMPTS, MAX_CRASHES, MAX_LAST_RESORTS
from chalicelib.store.operations import Case, LaggingSocket, OrderRow

# The sweep comes each minute; later than this it is late itself.
SWEEP_LATE = timedelta(minutes=3)
ASKED_EACH = timedelta(hours=1)


class Waiting(msgspec.Struct, frozen=True):
    """About how many messages wait in each queue; None where the queue cannot be reached."""

    orders: int | None
    dead_letters: int | None


def moment(at: datetime, now: datetime) -> str:
    """A moment, and how far it is from `now`."""
    seconds = round((at - now).total_seconds())
    far = abs(seconds)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    size, unit = next((each for each in units if far >= 2 * each[0]), units[-1])
    distance = f"{far // size} {unit}"
    return f"{iso(at)} ({f'in {distance}' if seconds > 0 else f'{distance} ago'})"


def crashes(row: OrderRow, now: datetime) -> int:
    """How many claims in a row crashed, one that ended by now and was not counted yet included."""
    return row.crashes + (row.lease_until is not None and row.lease_until <= now)


def why_parked(row: OrderRow, valid_until: datetime | None, now: datetime) -> str:
    """Why an order was parked."""
    if row.crashes >= MAX_LAST_RESORTS:
        return f"its claims crashed {row.crashes} times while asking for transaction {row.open_tx}"
    until = f", which could land until {moment(valid_until, now)}" if valid_until else ""
    return f"the chain does not know transaction {row.open_tx}{until}"


def conclude(case: Case, waiting: Waiting | None) -> str:
    """What the order waits for and what to do next. `waiting` is None where the queues were not asked."""
    state, advice = _conclude(case, waiting)
    if not case.events:
        state += ", and its events are not kept any more"
    if case.lagging:
        state += f", and of its {case.followers} sockets {case.lagging} lack frames"
        advice += f"; {_sockets(case)}"
    return f"{state}: {advice}."


def _conclude(case: Case, waiting: Waiting | None) -> tuple[str, str]:
    """What decides first: ended, unreadable, in somebody's hands, parked; else the order is under way."""
    row, now = case.row, case.now
    if row.outcome:
        return _ended(case)
    if not row.readable():
        return (
            f"It is stored in a form that this release cannot read (status {row.status}), so workers leave it alone",
            "deploy the release that wrote it, and the sweep brings it back",
        )
    if row.lease_until and row.lease_until > now:
        who = "The dead-letter function asks for its transaction" if row.parked_at else "A worker holds it"
        return (
            f"{who} under claim {row.claim_token}, until {moment(row.lease_until, now)} at the latest",
            "look again then",
        )
    if row.parked_at:
        return _parked(case)
    if row.status == Status.OPEN:
        return _resting(row, now)
    return _going(case, waiting)


def _resting(row: OrderRow, now: datetime) -> tuple[str, str]:
    """Of an order that nobody works on until its trigger fires."""
    if row.watch_price is None:
        coming = f"next run is due {moment(row.next_try_at, now)}" if row.next_try_at else "last run is on its way"
        state = f"It is open, and its {coming}"
    else:
        when = "at least" if row.watch_rising else "at most"
        state = f"It is open until the reference price, tokenIn for one tokenOut, is {when} {row.watch_price}"
    if row.expires_at:
        state += f", and expires {moment(row.expires_at, now)}"
    return state, "the watch function fires it; if ticks are missing from its log, check that it runs"


def _going(case: Case, waiting: Waiting | None) -> tuple[str, str]:
    """Of an order that a message should bring to whoever goes on with it."""
    row, now = case.row, case.now
    if row.next_try_at and row.next_try_at > now:
        purpose = (
            f"to ask the chain for {_transaction(case)}"
            if row.open_tx
            else f"for attempt {row.attempts + 1} of {MAX_ATTEMPTS}"
        )
        return f"It waits until {moment(row.next_try_at, now)} {purpose}", "nothing is to be done before"
    if crashes(row, now) >= MAX_CRASHES:
        return _poisonous(case, waiting)
    if row.lease_until:
        nth = f"crash {crashes(row, now)} of the {MAX_CRASHES} that workers may have"
        return (
            f"Its claim ended without a word at {moment(row.lease_until, now)}, {nth}",
            f"its message comes back by itself, look for the crash in the worker's log{_sweep(case)}",
        )
    return _queued(case, waiting)


def _ended(case: Case) -> tuple[str, str]:
    row = case.row
    if row.outcome == Status.CONFIRMED:
        return f"It is confirmed by transaction {row.tx_hash}", "nothing is left to do"
    if row.outcome != Status.FAILED:
        return f"It is {row.outcome}, before anything filled it", "nothing is left to do"
    state = f"It failed at attempt {row.attempts} ({row.failure_reason})"
    if case.repeated_as:
        return f"{state} and was repeated", f"go on with `explain {case.repeated_as}`"
    return state, f'make operate ARGS="repeat {row.id}" places it anew'


def _parked(case: Case) -> tuple[str, str]:
    row, now = case.row, case.now
    state = f"It is parked, because {why_parked(row, _valid_until(case), now)}"
    if row.crashes >= MAX_LAST_RESORTS:
        return state, f'find the crash in the log of the dead-letter function, then make operate ARGS="resume {row.id}"'
    again = row.enqueued_at + ASKED_EACH
    if again + SWEEP_LATE < now:
        asked = (
            f"it should have been asked for {moment(again, now)}, so check that the sweep and dead-letter functions run"
        )
    else:
        asked = f"it is asked for again at {moment(again, now)}"
    return state, f'{asked}; once the venue knows more, make operate ARGS="resume {row.id}" asks at once'


def _poisonous(case: Case, waiting: Waiting | None) -> tuple[str, str]:
    row, now = case.row, case.now
    if row.open_tx:
        fate = f"which asks for {_transaction(case)} and parks the order at {MAX_LAST_RESORTS} crashes"
    else:
        fate = "which fails it, nothing having been sent"
    return (
        f"Its claims crashed {crashes(row, now)} times in a row, so it is left to the dead-letter function, {fate}",
        f"look for the crash in the logs{_behind('dead letters', waiting)}{_sweep(case)}",
    )


def _queued(case: Case, waiting: Waiting | None) -> tuple[str, str]:
    row, now = case.row, case.now
    purpose = f"to ask the chain for {_transaction(case)}" if row.open_tx else "to be worked on"
    state = f"It waits for its message, sent {moment(row.enqueued_at, now)}, {purpose}"
    advice = "wait" if case.resend_at + SWEEP_LATE >= now else "the message is late"
    return state, f"{advice}{_behind('orders', waiting)}{_sweep(case)}"


def _behind(queue: str, waiting: Waiting | None) -> str:
    """How long a queue is, where that was asked."""
    if waiting is None:
        return ""
    messages = waiting.orders if queue == "orders" else waiting.dead_letters
    if messages is None:
        return f", but the queue of {queue} cannot be reached from here"
    return f", messages waiting in the queue of {queue}: {messages}"


def _sweep(case: Case) -> str:
    """What the sweep does about a lost message."""
    at = moment(case.resend_at, case.now)
    if case.resend_at + SWEEP_LATE < case.now:
        return f"; a sweep should have sent it again from {at} on, so check that the sweep function runs"
    return f"; should it be lost, the first sweep after {at} sends it again"


def _transaction(case: Case) -> str:
    valid_until = _valid_until(case)
    until = f", valid until {moment(valid_until, case.now)}" if valid_until else ""
    return f"transaction {case.row.open_tx}{until}"


def _valid_until(case: Case) -> datetime | None:
    return next((each.valid_until for each in case.submissions if each.tx_id == case.row.open_tx), None)


def socket_state(socket: LaggingSocket, now: datetime) -> str:
    """What a socket that lacks frames waits for."""
    if not socket.open:
        return "not open yet"
    if socket.not_before and socket.not_before > now:
        return "held back after failed pushes"
    if socket.lease_until and socket.lease_until > now:
        return "being pushed to"
    return "left to the next sweep"


def _sockets(case: Case) -> str:
    states = Counter(socket_state(socket, case.now) for socket in case.sockets)
    if others := case.lagging - len(case.sockets):
        states["not looked at"] = others
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    return f"of the sockets {told}, and if that lasts look at the log of the deliver function"
