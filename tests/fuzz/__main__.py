"""`make fuzz`: as long as you like; 200 requests of each kind to each operation take a quarter of an hour."""

import argparse
import asyncio
import sys

from tests.fuzz.run import fuzz, target
from tests.support.postgres import fresh_database, server_url


async def main(examples: int) -> int:
    with server_url() as server, fresh_database(server) as database_url:
        async with target(database_url) as served:
            outcome = await fuzz(served, examples=examples, phases="examples,coverage,fuzzing,stateful")
            sys.stdout.write(outcome.output)
            return outcome.code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--examples", type=int, default=200, help="of each kind, for each operation")
    sys.exit(asyncio.run(main(parser.parse_args().examples)))
