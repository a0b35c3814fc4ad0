"""Entry points: each route, socket route, queue and schedule, and the handler it calls."""

import gc

# Imports leave no garbage behind; looking for it takes a twelfth of a cold start's imports.
gc.disable()

from collections.abc import Callable
from typing import Any, cast

from chalice.app import Chalice, CloudWatchEvent, Rate, Response, SQSEvent, WebsocketEvent

from chalicelib.handlers import queue, rest, schedule, websocket
from chalicelib.handlers.replies import Reply, Request

# What was imported stays, so later searches pass it over.
gc.freeze()
gc.enable()

app = Chalice(app_name="order-engine", configure_logs=False)
app.experimental_feature_flags.update(["WEBSOCKETS"])


def serve(method: str, path: str, handler: Callable[..., Reply]) -> None:
    """A route: its handler gets the request, and the parts of the path that are named in it."""

    def view(**parts: str) -> Response:
        # The framework sets it before the call.
        reply = handler(cast("Request", app.current_request), **parts)
        return Response(body=reply.body, status_code=reply.status, headers=dict(reply.headers))

    app.route(path, methods=[method], content_types=["*/*"])(view)


serve("GET", "/", lambda _: rest.page())
serve("POST", "/api/orders/execute", rest.execute)
serve("GET", "/api/orders", rest.orders)
serve("DELETE", "/api/orders", rest.cancel_several)
serve("GET", "/api/orders/{order_id}", rest.order)
serve("DELETE", "/api/orders/{order_id}", rest.cancel)
serve("PATCH", "/api/orders/{order_id}", rest.amend)
serve("POST", "/api/quotes", rest.quote)
serve("POST", "/api/stream-tickets", rest.ticket)
serve("GET", "/api/tokens", rest.tokens)
serve("GET", "/api/pools", rest.pools)
serve("GET", "/api/health", lambda _: rest.health())


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
