"""Follows the status changes and alerts: python3 consume.py nats://127.0.0.1:4222 public.jwks [xdr.jwk]

It needs the packages nats-py and cryptography.
"""
import asyncio
import sys

import nats
from pulse import Opener, Refused


async def main(server, keys, decrypt=None):
    opener = Opener(keys, decrypt)
    nc = await nats.connect(server, max_reconnect_attempts=-1)
    sub = await nc.jetstream().pull_subscribe("", durable="xdr-python", stream="STATUS")
    while True:
        try:
            messages = await sub.fetch(100, timeout=30)
        except nats.errors.TimeoutError:
            continue
        for m in messages:
            signature = (m.headers or {}).get("Pulse-Signature")
            try:
                message, _ = opener.open(m.subject, [signature] if signature else [], m.data)
                print(message.get("status_change", message))
            except Refused as refused:
                print("REFUSED", m.subject, refused)
            await m.ack()  # when it is safe with you, with the guard's state


asyncio.run(main(*sys.argv[1:]))
