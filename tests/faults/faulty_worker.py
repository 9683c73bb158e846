"""The command `switchyard worker` with a fault in it.

python -m tests.faults.faulty_worker '{"point": "match.before", "kind": "kill"}'     # a `Fault` as JSON
"""

import sys

import msgspec

from app.cli import worker
from tests.faults.injector import Fault, install

if __name__ == "__main__":
    install(msgspec.json.decode(sys.argv[1], type=Fault))
    worker.main(args=[])
