"""The README's example order: posted to a running engine, its stream printed until it ends."""

import asyncio
import time

from aiohttp import ClientError, ClientSession, ClientTimeout

from local.terminal import frame_line, paint, say

ORDER = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 3.0, "slippageTolerance": 0.02}
TERMINAL = frozenset({"confirmed", "failed"})
PATIENCE_SECONDS = 60.0


class ExampleError(Exception):
    """The example order did not end as an order ends."""


async def show(url: str) -> None:
    """Posts the order, prints each frame as it comes, and returns after the last one."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), ClientSession(timeout=ClientTimeout(total=None)) as session:
            async with session.post(f"{url}/api/orders/execute", json=ORDER) as reply:
                answer = await reply.json()
            if "orderId" not in answer:
                raise ExampleError(f"the example order was refused: {answer}")
            say(f"  order {answer['orderId']}: {ORDER['amount']} {ORDER['tokenIn']} → {ORDER['tokenOut']}")
            async with session.ws_connect(f"{url}/api/orders/execute") as socket:
                await socket.send_json({"orderId": answer["orderId"]})
                async for message in socket:
                    frame = message.json()
                    say(frame_line(frame))
                    if "error" in frame or frame["status"] in TERMINAL:
                        break
    except TimeoutError as error:
        raise ExampleError(f"the example order has not ended after {PATIENCE_SECONDS:.0f} s") from error
    except ClientError as error:
        raise ExampleError(f"the example order failed: {error}") from error
    say(paint(f"  {time.monotonic() - started:.1f} s from posting to the last frame", 2))
