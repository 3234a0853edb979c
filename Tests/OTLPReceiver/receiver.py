"""Takes spans by OTLP over HTTP at the port that it is given, prints each as a line of JSON, and ends when its input does."""

import asyncio
import sys

from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings


async def main() -> None:
    settings = OtelTapHttpProtobufReceiverSettings(http_port=int(sys.argv[1]), print_traces_as_ndjson=True)
    async with OtelTapHttpProtobufReceiver(settings):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
