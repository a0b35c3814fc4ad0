"""What the engine's promises stand on, switched off one at a time: each time a simulation must notice.

The last ones undo the mending of what simulations have found.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from chalicelib.execution.batch import BatchWorker
from chalicelib.execution.executor import Executor
from chalicelib.execution.recovery import Sweeper
from chalicelib.store import book, journal, orders, pools, streams
from chalicelib.streaming.publisher import Publisher
from chalicelib.streaming.sockets import Sockets
from chalicelib.venues import ledger_chain
from chalicelib.venues.pools import chain
from chalicelib.venues.pools.chain import _Block
from tests.simulation import postgres
from tests.simulation.backends import Backends
from tests.simulation.faults import Kind
from tests.simulation.world import Mode, Report, run


@dataclass(frozen=True)
class Mutation:
    """A change of the engine: of parts of the text of a function, or of a named statement."""

    what: str
    where: Callable[..., Any] | tuple[dict[str, str], str]
    # Words of the promise that stands on it.
    breaks: str
    # Each present part, and what takes its place.
    changes: Mapping[str, str]
    # The faults that it protects from, with their rates; there are no others. Without any, races alone must tell.
    faults: Mapping[Kind, float] = field(default_factory=dict)
    # The mode in which it shows.
    mode: Mode = "simulated"
    # Whether it mends a defect that simulations have found.
    found: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The engine without it, for a while."""
        if isinstance(self.where, tuple):
            statements, name = self.where
            original = statements[name]
            statements[name] = self._changed(original)
            postgres.NAMES[statements[name]] = name
            try:
                yield
            finally:
                statements[name] = original
        else:
            function = inspect.unwrap(self.where)
            code, function.__code__ = function.__code__, self._compiled(function)
            try:
                yield
            finally:
                function.__code__ = code

    def run(self, seed: int, backends: Backends) -> Report:
        """A simulation in which the engine without it should break a promise, and the engine should not."""
        return run(seed, backends, faults=self.faults, mode=self.mode)

    def _changed(self, text: str) -> str:
        for present, instead in self.changes.items():
            if text.count(present) != 1:
                raise LookupError(f"{self.what}: {present!r} is {text.count(present)} times in {self.where}")
            text = text.replace(present, instead)
        return text

    def _compiled(self, function: Any) -> Any:
        scope = dict(function.__globals__)
        exec(self._changed(textwrap.dedent(inspect.getsource(function))), scope)
        return scope[function.__name__].__code__


MUTATIONS = (
    Mutation(
        "fencing",
        (journal._SQL, "write_transitions"),
        "under a claim that is over",
        {"o.id = i.order_id AND o.claim_token = i.claim_token AND o.last_seq = i.base_seq": "o.id = i.order_id"},
        {Kind.LONG_PAUSE: 0.03, Kind.DUPLICATE: 0.5, Kind.CHAIN_BLIND: 0.3},
    ),
    Mutation(
        "the write-ahead of submissions",
        Executor._submit,
        "swapped once if confirmed",
        {
            "valid_until = await hold.sync()": "from datetime import timedelta\n"
            "    valid_until = self._clock.now() + timedelta(milliseconds=transaction.valid_ms)"
        },
        {Kind.CRASH: 0.05},
    ),
    Mutation(
        "the lease of subscriptions",
        (streams._SQL, "lease"),
        "came twice for no reason",
        {"AND (s.lease_until IS NULL OR s.lease_until <= engine_now() OR s.lease_holder = %(holder)s)": ""},
    ),
    Mutation(
        "the look after releasing",
        Publisher._publish,
        "nobody pushes order",
        {"await self._settle([task.result()": "return await self._settle([task.result()"},
    ),
    Mutation(
        "publishing on a refused claim",
        BatchWorker._refused,
        "nobody pushes order",
        {"self._publisher.notify([result.order_id])": "pass"},
        {Kind.CRASH: 0.05, Kind.DUPLICATE: 0.4},
    ),
    Mutation(
        "the tombstone",
        ledger_chain.decide,
        "swapped once if confirmed",
        {
            "await ledger.tombstone(tx_id, order_id, valid_until)": "",
            "return await ask(ledger, tx_id)": "answer = await ask(ledger, tx_id)\n"
            "    return Answer(outcome=Outcome.DEAD) if answer.outcome == Outcome.UNKNOWN else answer",
        },
        {Kind.SWAP_LATE: 0.8},
    ),
    Mutation(
        "the sweeper",
        Sweeper.run,
        "not everything came to its end",
        {'"""One sweep.': 'return\n    """One sweep.'},
        {Kind.SEND_REFUSED: 0.05},
    ),
    Mutation(
        "reconcile before retry",
        Executor.run,
        "swapped once if confirmed",
        {
            "return await self._reconcile(hold, hold.open_tx)": "hold.open_tx = None",
            "(Status.ROUTING, Status.BUILDING)": "(Status.ROUTING, Status.BUILDING, Status.SUBMITTED)",
        },
    ),
    Mutation(
        "committing a bind before reading",
        Sockets._bind,
        "nobody pushes order",
        {
            "raise _unknown_socket()\n    self._publisher.notify([bind.order_id])": "raise _unknown_socket()",
            "bound =": "self._publisher.notify([bind.order_id])\n    await self._publisher.drain(1.0)\n    bound =",
        },
    ),
    Mutation(
        "the number of a bind",
        (streams._SQL, "release"),
        "lacks frames",
        {"CASE WHEN s.bind_no = i.bind_no THEN i.last_seq ELSE s.last_seq END": "i.last_seq"},
    ),
    Mutation(
        "one order a key",
        (orders._SQL, "accept_keyed"),
        "stands for",
        {"CASE WHEN k.expires_at <= engine_now() THEN excluded.order_id ELSE k.order_id END": "excluded.order_id"},
    ),
    Mutation(
        "the versions of pools",
        (pools._SQL, "fill"),
        "is at version",
        {"locked USING (address, version)": "locked USING (address)"},
        mode="pools",
    ),
    Mutation(
        "the bound of a total",
        _Block._swap,
        "no less than its bound",
        {"reason = route.objection(amount_in, amount_out)": "pass"},
        mode="pools",
    ),
    Mutation(
        "the bound of the first attempt",
        Executor._next_attempt,
        "no less than its bound",
        {"hold.terms, hold.bound)": "hold.terms, None)"},
        mode="pools",
    ),
    Mutation(
        "all legs of a route",
        (pools._SQL, "fill"),
        "is at version",
        {"FROM changed c WHERE": "FROM (SELECT * FROM changed ORDER BY address LIMIT 1) c WHERE"},
        mode="pools",
    ),
    Mutation(
        "what a transaction leaves to the next where it reverts",
        chain.trade,
        "is not in the state",
        {"after = dict(pools)": "after = pools"},
        mode="pools",
    ),
    Mutation(
        "pools that move only with the ledger",
        (pools._SQL, "fill"),
        "is at version",
        {"c.version AND (SELECT holds FROM filled)": "c.version AND (SELECT holds FROM unchanged)"},
        {Kind.SWAP_LATE: 0.8},
        mode="pools",
    ),
    Mutation(
        "a claim token that ends with a cancel",
        (book._SQL, "cancel"),
        "under a claim that is over",
        {"cancel_requested_at = engine_now(), claim_token = o.claim_token + 1,": "cancel_requested_at = engine_now(),"},
        {Kind.PAUSE: 0.3, Kind.LATE: 0.4, Kind.SWAP_LOST: 0.4},
        mode="resting",
    ),
    Mutation(
        "the status of what is triggered",
        (book._SQL, "trigger"),
        "has a legal log",
        {"crossed)) AND -- Open orders that may be moved now.\nstatus = 'open'": "crossed)) AND true"},
        {Kind.SQL_SLOW: 0.2},
        mode="resting",
    ),
    Mutation(
        "no expiry beside an unresolved transaction",
        (book._SQL, "expire"),
        "unresolved_means_submitted",
        {"AND open_tx IS NULL": ""},
        {Kind.CHAIN_BLIND: 0.5},
        mode="resting",
    ),
    Mutation(
        "the end of a validity",
        (journal._SQL, "write_transitions"),
        "executed after its expiry",
        {
            "least(engine_now() + s.valid_ms * interval '1 millisecond', m.expires_at)": "engine_now() "
            "+ s.valid_ms * interval '1 millisecond'"
        },
        {Kind.SWAP_LATE: 0.5},
        mode="resting",
    ),
    Mutation(
        "the seq that a run follows",
        (book._SQL, "run"),
        "orders_runs",
        {"AND last_seq = %(seq)s": ""},
        {Kind.SQL_SLOW: 0.2},
        mode="resting",
    ),
    Mutation(
        "the bound of a limit",
        Executor._next_attempt,
        "beyond its limit",
        {"hold.kind.bound(hold.terms))": "None)"},
        mode="resting",
    ),
    Mutation(
        "the microseconds of the last event",
        (orders._SQL, "claim"),
        "in the order of time",
        {"       t.last_update,": "       date_trunc('milliseconds', t.last_update),"},
        found=True,
    ),
    Mutation(
        "waiting for pushes after a failed delivery",
        Sockets.delivered,
        "returned with work under way",
        {"finally:": "except KeyboardInterrupt:\n        pass\n    else:"},
        {Kind.SQL_TERMINATED: 0.2, Kind.SQL_LOST_BEFORE: 0.2},
        found=True,
    ),
    Mutation(
        "releasing leases after a failed hold-back",
        Publisher._failed,
        "returned with work under way",
        {"with self._left_to_the_sweep([lease.order_id]):": "if True:"},
        {Kind.PUSH_LOST: 0.5, Kind.CONNECT_REFUSED: 0.3, Kind.SQL_LOST_BEFORE: 0.1, Kind.SQL_SILENT: 0.05},
        found=True,
    ),
    Mutation(
        "a delivery for what was cut off",
        Publisher.drain,
        "nobody pushes order",
        {"if cut_off:": "if False:"},
        found=True,
    ),
    Mutation(
        "a run that others were skipped for",
        (book._SQL, "due_runs"),
        "overlaps with another",
        {"c.parent_id = o.id ORDER BY": "c.parent_id = o.id AND c.run = o.runs ORDER BY"},
        {Kind.CHAIN_BLIND: 0.5},
        mode="resting",
        found=True,
    ),
)
