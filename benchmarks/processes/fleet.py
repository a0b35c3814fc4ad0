"""Containers side by side, of the engine or of a baseline, and the queue and event source mapping that feed them."""

import heapq
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self

import msgspec

from benchmarks.surroundings.database import Database
from benchmarks.surroundings.environment import inherited
from benchmarks.surroundings.examples import NO_ORDER
from benchmarks.surroundings.sink import Sink

# Nobody waits longer for an answer of a container.
ANSWER_SECONDS = 60.0
ENGINE = "benchmarks.processes.worker"


class Answer(msgspec.Struct, frozen=True):
    """What a container says of one invocation: CPU seconds, statements, and what it sent.

    `sent` is queue, body and the seconds of delay that are left; `publishing` the statements of the connection that
    publishes; `commits` order, seq and moment by CLOCK_MONOTONIC, where the container was told to note them.
    """

    sent: list[tuple[str, str, float]]
    statements: int
    cpu: float
    publishing: int = 0
    commits: list[tuple[str, int, float]] = []


class Queue:
    """Messages, each from a moment of its own on; gives batches to whoever asks first."""

    def __init__(self, whole: int) -> None:
        # How many messages are still to be dealt with, those in flight included.
        self._left = whole
        self._ready = threading.Condition()
        self._messages: list[tuple[float, int, str]] = []
        self._count = 0

    def send(self, bodies: Iterable[tuple[str, float]]) -> None:
        """Put messages, each to be seen after so many seconds."""
        with self._ready:
            for body, delay in bodies:
                self._count += 1
                heapq.heappush(self._messages, (time.monotonic() + delay, self._count, body))
            self._ready.notify_all()

    def done(self, messages: int) -> None:
        """So many messages need no more work."""
        with self._ready:
            self._left -= messages
            self._ready.notify_all()

    def abandon(self) -> None:
        """Nothing more will be done with any message."""
        with self._ready:
            self._left = 0
            self._ready.notify_all()

    def take(self, most: int) -> list[str]:
        """A batch of what can be seen; waits for the first message. Empty once nothing is left to do."""
        with self._ready:
            while self._left > 0:
                now, batch = time.monotonic(), list[str]()
                while self._messages and self._messages[0][0] <= now and len(batch) < most:
                    batch.append(heapq.heappop(self._messages)[2])
                if batch:
                    return batch
                self._ready.wait(self._messages[0][0] - now if self._messages else None)
            return []


class Container:
    """A process that runs a module, and answers each line that it is given by one."""

    def __init__(self, environment: dict[str, str], module: str, options: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *options],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            # Ctrl-C is for whoever started it, and ends it by its standard input.
            start_new_session=True,
        )

    def call(self, bodies: Sequence[str]) -> Answer:
        """One invocation."""
        return msgspec.json.decode(self.talk(json.dumps(bodies)), type=Answer)

    def talk(self, line: str) -> str:
        """What it answers to a line."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise AssertionError("a container without pipes")
        process.stdin.write(line + "\n")
        process.stdin.flush()
        try:
            said = process.stdout.readline()
        except KeyboardInterrupt:
            # Nobody waits for what it is at.
            process.terminate()
            raise
        if not said:
            raise RuntimeError(f"a container ended with status {process.wait(ANSWER_SECONDS)}")
        return said

    def close(self) -> str:
        """End it; returns what it says at the end."""
        said, _ = self._process.communicate(timeout=ANSWER_SECONDS)
        return said


class Fleet:
    """Containers side by side."""

    def __init__(
        self, containers: int, environment: dict[str, str], options: Sequence[str] = (), module: str = ENGINE
    ) -> None:
        self._containers = [Container(environment, module, options) for _ in range(containers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self, body: str = NO_ORDER) -> None:
        """Have each build its engine and connect."""
        for container in self._containers:
            container.call([body])

    def close(self) -> list[dict[str, float]]:
        """End them; returns what each says of where its time went."""
        containers, self._containers = self._containers, []
        return [json.loads(said) for said in (container.close() for container in containers) if said]

    def drain(self, order_ids: Sequence[str], most: int) -> list[Answer]:
        """Work on orders until each is done, in batches of at most so many; returns all answers."""
        queue = Queue(len(order_ids))
        queue.send((order_id, 0.0) for order_id in order_ids)
        return self.work(queue, most)

    def work(self, queue: Queue, most: int) -> list[Answer]:
        """Take batches from a queue until nothing is left to do; returns all answers."""
        answers = list[Answer]()

        def work(container: Container) -> None:
            while batch := queue.take(most):
                answer = container.call(batch)
                answers.append(answer)
                queue.send((body, delay) for _, body, delay in answer.sent if body in batch)
                again = sum(body in batch for _, body, _ in answer.sent)
                queue.done(len(batch) - again)

        self.each(work, queue)
        return answers

    def each(self, work: Callable[[Container], None], queue: Queue) -> None:
        """Have a thread for each container; the first failure empties the queue and is raised."""
        failures: list[Exception] = []

        def guarded(container: Container) -> None:
            try:
                work(container)
            except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
                failures.append(error)
                queue.abandon()

        threads = [threading.Thread(target=guarded, args=(container,)) for container in self._containers]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            # Nobody may end a container that a thread still talks to.
            queue.abandon()
            for thread in threads:
                thread.join()
            raise
        if failures:
            raise failures[0]


class Drained(msgspec.Struct, frozen=True):
    """One timed drain: orders a second, core-µs an order of the containers and of the database server, all answers."""

    rate: float
    client: float
    server: float
    answers: list[Answer]


def drained(found: Database, fleet: Fleet, order_ids: Sequence[str], most: int) -> Drained:
    """Time a fleet on accepted orders, in batches of at most so many. Raises RuntimeError where it leaves some."""
    # Connections that idled are looked at before they are used.
    fleet.warm()
    server, started = found.cpu(), time.monotonic()
    answers = fleet.drain(order_ids, most)
    seconds, server = time.monotonic() - started, found.cpu() - server
    orders = len(order_ids)
    if left := found.unfinished(order_ids):
        raise RuntimeError(f"{left} of {orders} orders were left unfinished")
    return Drained(
        rate=orders / seconds,
        client=sum(answer.cpu for answer in answers) / orders * 1e6,
        server=server / orders * 1e6,
        answers=answers,
    )


def environment(found: Database, sink: Sink) -> dict[str, str]:
    """A container's settings, as the template gives them."""
    return {
        **inherited(),
        "DATABASE_URL": found.url,
        "VENUE_TIME_SCALE": "0",
        "PUSH_ENDPOINT": sink.endpoint,
        "AWS_ENDPOINT_URL": sink.endpoint,
    }
