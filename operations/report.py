"""What the operator reads: lists and timelines as plain text."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from chalicelib.domain.event import iso
from chalicelib.domain.retry import MAX_ATTEMPTS, MAX_CRASHES
from chalicelib.domain.token import plain
from chalicelib.store.operations import Case, Listed, LoggedEvent, OrderRow
from operations.diagnosis import crashes, moment, socket_state, why_parked


def why(listed: Listed) -> str:
    """Why an order is on the list, and since when."""
    row, now = listed.row, listed.now
    if row.parked_at:
        return f"parked {moment(row.parked_at, now)}: {why_parked(row, listed.valid_until, now)}"
    told = f"{row.status} {moment(row.last_update, now)}: {row.failure_reason}"
    return f"{told}; repeated as {listed.repeated_as}" if listed.repeated_as else told


def listing(kind: str, found: Sequence[Listed], *, more: bool) -> str:
    """A list of orders, one line each."""
    if not found:
        return f"no {kind} orders"
    which = {"parked": "the oldest", "failed": "the latest"}[kind]
    head = f"{which} {len(found)} {kind} orders, --limit shows more" if more else f"{len(found)} {kind}"
    return "\n".join([f"{head}, oldest first", *(f"  {each.row.id}  {swap(each.row)}  {why(each)}" for each in found)])


def explanation(case: Case, conclusion: str) -> str:
    """One order: what it is, its timeline, and the conclusion."""
    row = case.row
    head = [
        f"order {row.id}: {swap(row)}",
        f"  {row.status}, attempt {row.attempts} of {MAX_ATTEMPTS}, claim {row.claim_token}, "
        f"crashes {crashes(row, case.now)} of {MAX_CRASHES}, type {row.type}, account {row.account}",
    ]
    head += [f"  repeats {row.repeat_of}"] if row.repeat_of else []
    head += [f"  repeated as {case.repeated_as}"] if case.repeated_as else []
    lines = [f"  {iso(at)}  {what:11} {told}".rstrip() for at, what, told in timeline(case)]
    sockets = [f"  {case.followers} sockets follow it, {case.lagging} lack frames"]
    for socket in case.sockets:
        state = socket_state(socket, case.now)
        since = f" until {iso(socket.not_before)}" if socket.not_before and socket.not_before > case.now else ""
        sockets.append(f"    {socket.connection_id} has {socket.last_seq} of {row.last_seq}: {state}{since}")
    return "\n".join([*head, "", *lines, "", *sockets, "", conclusion])


def timeline(case: Case) -> list[tuple[datetime, str, str]]:
    """(when, what, details) of all that happened to an order and is to come, in order of time."""
    row, now = case.row, case.now
    found = [(event.ts, event.status, f"{event.seq}  {_told(event)}") for event in case.events]
    for each in case.submissions:
        what = f"{each.tx_id} for {each.venue}, attempt {each.attempt}"
        found.append((each.written_at, "written", f"{what}, {each.outcome or 'unresolved'}"))
        if each.outcome is None:
            found.append((each.valid_until, "valid until", each.tx_id))
    if row.outcome is None:
        found.append((row.enqueued_at, "sent", "its id to the queue, last"))
        if row.lease_until:
            found.append((row.lease_until, "lease ends", f"of claim {row.claim_token}"))
        if row.next_try_at:
            found.append((row.next_try_at, "next try", ""))
        if row.parked_at:
            found.append((row.parked_at, "parked", ""))
        found.append((now, "now", ""))
    return sorted(found, key=lambda each: each[0])


def swap(row: OrderRow) -> str:
    """What an order swaps."""
    terms = row.terms()
    if terms is None:
        return f"unreadable {bytes(row.payload).decode()}"
    sold, bought = terms.token_in, terms.token_out
    if terms.amount_out:
        return f"{sold.name} → {plain(terms.amount_out, bought.decimals)} {bought.name}"
    return f"{plain(terms.amount, sold.decimals)} {sold.name} → {bought.name}"


def _told(event: LoggedEvent) -> str:
    meta = msgspec.json.decode(event.meta)
    if "route" in meta:
        return str(meta["route"]["decision"])
    return "  ".join(f"{name} {value}" for name, value in meta.items())
