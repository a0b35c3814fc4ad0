"""Entry points: each route, socket route, queue and schedule, and the handler it calls."""

import gc

# Imports leave no garbage behind; looking for it takes a twelfth of a cold start's imports.
gc.disable()

from typing import Any, cast

from chalice.app import Chalice, CloudWatchEvent, Rate, Response, SQSEvent, WebsocketEvent

from chalicelib.handlers import queue, rest, schedule, websocket
from chalicelib.handlers.replies import Reply, Request

# What was imported stays, so later searches pass it over.
gc.freeze()
gc.enable()

app = Chalice(app_name="order-engine", configure_logs=False)
app.experimental_feature_flags.update(["WEBSOCKETS"])

ANY_TYPE = ["*/*"]


def respond(reply: Reply) -> Response:
    """A handler's reply in the framework's form."""
    return Response(body=reply.body, status_code=reply.status, headers=dict(reply.headers))


def current_request() -> Request:
    """The request that a route was called for; the framework sets it before the call."""
    return cast("Request", app.current_request)


@app.route("/", methods=["GET"], content_types=ANY_TYPE)
def page() -> Response:
    return respond(rest.page())


@app.route("/api/orders/execute", methods=["POST"], content_types=ANY_TYPE)
def execute() -> Response:
    return respond(rest.execute(current_request()))


@app.route("/api/orders/{order_id}", methods=["GET"], content_types=ANY_TYPE)
def order(order_id: str) -> Response:
    return respond(rest.order(current_request(), order_id))


@app.route("/api/orders/{order_id}", methods=["DELETE"], content_types=ANY_TYPE)
def cancel(order_id: str) -> Response:
    return respond(rest.cancel(current_request(), order_id))


@app.route("/api/orders", methods=["DELETE"], content_types=ANY_TYPE)
def cancel_several() -> Response:
    return respond(rest.cancel_several(current_request()))


@app.route("/api/orders/{order_id}", methods=["PATCH"], content_types=ANY_TYPE)
def amend(order_id: str) -> Response:
    return respond(rest.amend(current_request(), order_id))


@app.route("/api/orders", methods=["GET"], content_types=ANY_TYPE)
def orders() -> Response:
    return respond(rest.orders(current_request()))


@app.route("/api/stream-tickets", methods=["POST"], content_types=ANY_TYPE)
def stream_ticket() -> Response:
    return respond(rest.ticket(current_request()))


@app.route("/api/quotes", methods=["POST"], content_types=ANY_TYPE)
def quote() -> Response:
    return respond(rest.quote(current_request()))


@app.route("/api/tokens", methods=["GET"], content_types=ANY_TYPE)
def tokens() -> Response:
    return respond(rest.tokens(current_request()))


@app.route("/api/pools", methods=["GET"], content_types=ANY_TYPE)
def pools() -> Response:
    return respond(rest.pools(current_request()))


@app.route("/api/health", methods=["GET"], content_types=ANY_TYPE)
def health() -> Response:
    return respond(rest.health())


@app.on_ws_connect()
def websocket_connect(event: WebsocketEvent) -> dict[str, Any]:
    return websocket.handle(event.to_dict())


@app.on_ws_message()
def websocket_message(event: WebsocketEvent) -> dict[str, Any]:
    return websocket.handle(event.to_dict())


@app.on_ws_disconnect()
def websocket_disconnect(event: WebsocketEvent) -> dict[str, Any]:
    return websocket.handle(event.to_dict())


@app.on_sqs_message(queue="orders", name="worker")
def worker(event: SQSEvent) -> dict[str, Any]:
    return queue.orders(event.to_dict(), event.context)


@app.on_sqs_message(queue="deliveries", name="deliver")
def deliver(event: SQSEvent) -> dict[str, Any]:
    return queue.deliveries(event.to_dict(), event.context)


@app.on_sqs_message(queue="dead-letters", name="dead_letter")
def dead_letter(event: SQSEvent) -> dict[str, Any]:
    return queue.dead_letters(event.to_dict(), event.context)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def sweep(_: CloudWatchEvent) -> None:
    schedule.sweep()


@app.schedule(Rate(1, unit=Rate.MINUTES), name="watch")
def watch(event: CloudWatchEvent) -> None:
    schedule.watch(event.context)
